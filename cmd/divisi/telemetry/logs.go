package telemetry

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/divisi-go/divisi/internal/event"
)

// Entries of different replicas that were written within lag of each other are put in the order
// of their times; that is also how late they are followed.
const (
	lag         = 200 * time.Millisecond
	followEvery = 100 * time.Millisecond
)

// Show passes the entries of a log that a query chooses to show, in the order of their times. The log
// is the folder of a domain, with those of the domains in it. If the query follows, Show goes on until
// ctx ends, and then shows what was written before that; else it ends at the end of the log. Files that
// are rotated meanwhile are read to their ends. What is in a feed is a part of the log; nil is none.
func Show(ctx context.Context, dir string, feed *Feed, q *Query, show func(Entry) error) error {
	l := &logs{dir: dir, feed: feed}
	defer l.close()
	feed.wait(ctx)
	until := time.Time{}
	if q.Follow {
		until = time.Now().Add(-lag)
	}

	var last []Entry
	err := l.read(until, func(e Entry) error {
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case !q.Match(e) || q.Tail == 0:
			return nil
		case q.Tail < 0:
			return show(e)
		case len(last) == q.Tail:
			copy(last, last[1:])
			last[q.Tail-1] = e
		default:
			last = append(last, e)
		}

		return nil
	})
	if err != nil {
		return err
	}

	for _, e := range last {
		if err := show(e); err != nil {
			return err
		}
	}

	if !q.Follow {
		return nil
	}

	return l.follow(ctx, q, show)
}

// logs are the logs of the replicas of one application.
type logs struct {
	dir   string
	feed  *Feed
	tails []*tail
}

func (l *logs) close() {
	for _, t := range l.tails {
		t.close()
	}
}

func (l *logs) follow(ctx context.Context, q *Query, show func(Entry) error) error {
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	for ended := false; !ended; {
		select {
		case <-tick.C:
		case <-ctx.Done():
			ended = true
		}

		until := time.Now()
		if !ended {
			until = until.Add(-lag)
		}

		err := l.read(until, func(e Entry) error {
			if !q.Match(e) {
				return nil
			}
			return show(e)
		})
		if err != nil {
			return err
		}
	}

	return nil
}

// logFile is the name of the log of a replica, or of a part of it that was rotated away.
var logFile = regexp.MustCompile(`^(.+\.log)(\.[0-9]+)?$`)

// Replicas returns the names of the replicas that have a log in a folder, without their domains.
func Replicas(dir string) (replicas []string, err error) {
	err = walk(dir, func(file string) error {
		base := filepath.Base(file)
		if replica, ok := strings.CutSuffix(base, ".log"); ok && base != event.LogFile {
			replicas = append(replicas, replica)
		}
		return nil
	})
	return replicas, err
}

// find opens the logs of replicas that are new.
func (l *logs) find() error {
	for _, server := range l.feed.servers() {
		if !slices.ContainsFunc(l.tails, func(t *tail) bool { return t.feed != nil && t.replica == server }) {
			l.tails = append(l.tails, &tail{feed: l.feed, replica: server})
		}
	}
	return walk(l.dir, func(file string) error {
		match := logFile.FindStringSubmatch(filepath.Base(file))
		if match == nil {
			return nil
		}

		path := filepath.Join(filepath.Dir(file), match[1])
		if slices.ContainsFunc(l.tails, func(t *tail) bool { return t.path == path }) {
			return nil
		}

		t, err := openTail(path)
		if err != nil {
			return err
		}

		l.tails = append(l.tails, t)
		return nil
	})
}

// walk calls f with the files of the log in a folder. One that is removed meanwhile is left out. Nothing has been
// said yet where there is no folder.
func walk(dir string, f func(file string) error) error {
	return filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil || entry.IsDir():
			return err
		}
		return f(path)
	})
}

// read shows what was written since the last call, up to a time; the zero time is no limit.
func (l *logs) read(until time.Time, show func(Entry) error) error {
	if err := l.find(); err != nil {
		return err
	}

	// A replica's own lines are only nearly in the order of their times: they come through two
	// pipes.
	w := &window{show: show}
	if err := l.merge(until, w.add); err != nil {
		return err
	}
	return w.flush()
}

// window puts entries in order that come at most lag too late. Others stay where they are.
type window struct {
	show    func(Entry) error
	entries []Entry
	newest  time.Time
}

// maxWindow bounds how many entries are held up.
const maxWindow = 4096

// add takes an entry, and shows each entry that no other can come before any more.
func (w *window) add(e Entry) error {
	at := len(w.entries)
	for at > 0 && late(e, w.entries[at-1]) {
		at--
	}

	w.entries = slices.Insert(w.entries, at, e)
	if e.Time.After(w.newest) {
		w.newest = e.Time
	}

	for len(w.entries) > 0 && (w.newest.Sub(w.entries[0].Time) > lag || len(w.entries) > maxWindow) {
		if err := w.show(w.entries[0]); err != nil {
			return err
		}
		w.entries = w.entries[1:]
	}

	return nil
}

// late reports whether an entry that came after another one belongs before it.
func late(e, before Entry) bool {
	by := before.Time.Sub(e.Time)
	return by > 0 && by <= lag
}

// flush shows all entries that are left.
func (w *window) flush() error {
	for _, e := range w.entries {
		if err := w.show(e); err != nil {
			return err
		}
	}
	w.entries = nil
	return nil
}

// merge shows what was written since the last call, up to a time, always the replica's entry next whose
// time is the first.
func (l *logs) merge(until time.Time, show func(Entry) error) error {
	more := slices.Clone(l.tails)
	for {
		var next *tail
		var failed error
		more = slices.DeleteFunc(more, func(t *tail) bool {
			e, err := t.peek()
			if err != nil {
				failed = err
			}
			if e != nil && (next == nil || t.order.Before(next.order)) {
				next = t
			}
			return e == nil
		})
		if failed != nil {
			return failed
		}
		if next == nil || !until.IsZero() && next.order.After(until) {
			return nil
		}

		e := *next.head
		next.head = nil
		if err := show(e); err != nil {
			return err
		}
	}
}

// RemoveOld removes the logs that nothing was written to since a time.
func RemoveOld(dir string, since time.Time) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}

	for _, entry := range entries {
		info, err := entry.Info()
		if err == nil && logFile.MatchString(entry.Name()) && info.ModTime().Before(since) {
			err = os.Remove(filepath.Join(dir, entry.Name()))
		}
		if err != nil && !os.IsNotExist(err) {
			return err
		}
	}

	return nil
}
