package telemetry

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// folder is the folder of a keeper.
type folder struct {
	t   *testing.T
	dir string
}

func newFolder(t *testing.T) *folder { return &folder{t, t.TempDir()} }

func (f *folder) append(file, text string) {
	f.t.Helper()
	w, err := os.OpenFile(filepath.Join(f.dir, file), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		f.t.Fatal(err)
	}
	if _, err := w.WriteString(text); err != nil {
		f.t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		f.t.Fatal(err)
	}
}

// log appends an entry to the log of a replica.
func (f *folder) log(replica, msg string, at time.Time) {
	f.t.Helper()
	f.append(replica+".log", entryLine(msg, at))
}

func entryLine(msg string, at time.Time) string {
	return fmt.Sprintf(`{"divisi":1,"time":%q,"level":"info","msg":%q}`+"\n", at.Format(time.RFC3339Nano), msg)
}

// rotate moves the log of a replica away, as a keeper does.
func (f *folder) rotate(replica string) {
	f.t.Helper()
	for n := 2; n > 0; n-- {
		from := filepath.Join(f.dir, replica+".log")
		if n > 1 {
			from += ".1"
		}
		err := os.Rename(from, fmt.Sprintf("%s/%s.log.%d", f.dir, replica, n))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			f.t.Fatal(err)
		}
	}
}

// show returns the messages that a query shows.
func (f *folder) show(q Query) string {
	f.t.Helper()
	if err := q.Compile(); err != nil {
		f.t.Fatal(err)
	}
	var shown []string
	err := Show(f.t.Context(), f.dir, nil, &q, func(e Entry) error {
		shown = append(shown, e.Msg)
		return nil
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return strings.Join(shown, " ")
}

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func at(seconds int) time.Time { return start.Add(time.Duration(seconds) * time.Second) }

func TestShowMergesByTime(t *testing.T) {
	f := newFolder(t)
	for i, msg := range []string{"a0", "b1", "c2", "a3", "a4", "c5", "b6", "a7"} {
		f.log(msg[:1], msg, at(i))
		if msg == "a3" || msg == "a4" {
			f.rotate("a")
		}
	}
	f.append("c.log", "\n")
	f.append("b.log", `{"divisi":1,"half of a l`)
	f.append("unrelated.txt", "x\n")
	if got, want := f.show(Query{Tail: -1}), "a0 b1 c2 a3 a4 c5 b6 a7"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got, want := f.show(Query{Tail: 3}), "c5 b6 a7"; got != want {
		t.Errorf("the last ones are %s, want %s", got, want)
	}
	if got := f.show(Query{Tail: 0}); got != "" {
		t.Errorf("none of them are %s", got)
	}
	filter := Filter{Replica: "a", Expr: `msg != "a7"`}
	if got, want := f.show(Query{Tail: 2, Filter: filter}), "a3 a4"; got != want {
		t.Errorf("the last ones that are chosen are %s, want %s", got, want)
	}
}

// An entry with a time that is missing or to come stays where it was written, and holds up nothing.
func TestShowWrongTimes(t *testing.T) {
	f := newFolder(t)
	f.log("a", "a0", at(0))
	f.append("a.log", "printed\n")
	f.log("b", "b1", at(1))
	f.log("a", "a2", at(2))
	f.log("a", "future", time.Now().Add(1000*time.Hour))
	f.log("a", "a3", at(3))
	f.log("b", "b4", at(4))
	got := strings.Fields(f.show(Query{Tail: -1}))
	for _, pair := range [][2]string{{"a0", "printed"}, {"printed", "b1"}, {"b1", "a2"}, {"a2", "future"},
		{"future", "a3"}} {
		if slices.Index(got, pair[0]) > slices.Index(got, pair[1]) || !slices.Contains(got, pair[1]) {
			t.Errorf("%s does not come before %s in %v", pair[0], pair[1], got)
		}
	}
	if !slices.Contains(got, "b4") {
		t.Errorf("b4 is missing in %v", got)
	}
}

// The nurseries of a program are domains in its own.
func TestShowDomainsWithin(t *testing.T) {
	f := newFolder(t)
	inner := &folder{t, filepath.Join(f.dir, "eu", "west")}
	if err := os.MkdirAll(inner.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	f.log("a", "a0", at(0))
	inner.log("b", "b1", at(1))
	f.log("a", "a2", at(2))
	if got, want := f.show(Query{Tail: -1}), "a0 b1 a2"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got, want := inner.show(Query{Tail: -1}), "b1"; got != want {
		t.Errorf("of the inner one there is %s, want %s", got, want)
	}

	recent, err := Recent(f.dir, nil, &Filter{}, 2)
	if err != nil {
		t.Fatal(err)
	}
	if len(recent) != 2 || recent[0].Msg != "b1" || recent[1].Msg != "a2" {
		t.Errorf("the last two are %v, want b1 and a2", recent)
	}
}

func TestShowStopsWhenTheReaderDoes(t *testing.T) {
	f := newFolder(t)
	f.log("a", "a0", at(0))
	f.log("a", "a1", at(1))
	enough := errors.New("enough")
	if err := Show(t.Context(), f.dir, nil, &Query{Tail: -1}, func(Entry) error { return enough }); err != enough {
		t.Errorf("got %v", err)
	}
	if err := Show(t.Context(), filepath.Join(f.dir, "none"), nil, &Query{}, nil); err != nil {
		t.Errorf("got %v where nothing has been said yet", err)
	}
}

// follower follows a folder in a bubble.
type follower struct {
	shown []string
	err   error
	end   context.CancelFunc
	over  chan struct{}
}

func (f *folder) follow(tail int) *follower {
	ctx, cancel := context.WithCancel(f.t.Context())
	w := &follower{end: cancel, over: make(chan struct{})}
	go func() {
		defer close(w.over)
		w.err = Show(ctx, f.dir, nil, &Query{Tail: tail, Follow: true}, func(e Entry) error {
			w.shown = append(w.shown, e.Msg)
			return nil
		})
	}()
	return w
}

// wait lets time pass, and returns what was shown since the last call.
func (w *follower) wait(d time.Duration) string {
	time.Sleep(d)
	synctest.Wait()
	text := strings.Join(w.shown, " ")
	w.shown = nil
	return text
}

func TestFollow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFolder(t)
		now := time.Now
		for i := range 5 {
			f.log("a", fmt.Sprint("a", i), now())
			time.Sleep(time.Second)
		}
		w := f.follow(2)
		expect := func(want string) {
			t.Helper()
			if got := w.wait(time.Second); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		}
		expect("a3 a4")
		expect("")
		// What is written nearly at the same time is put in order.
		first := now()
		time.Sleep(50 * time.Millisecond)
		f.log("a", "second", now())
		time.Sleep(50 * time.Millisecond)
		f.log("b", "first", first) // a new replica, whose line came late
		expect("first second")
		// A line is shown when it is complete.
		whole := entryLine("whole", now())
		f.append("b.log", whole[:20])
		expect("")
		f.append("b.log", whole[20:])
		expect("whole")
		// Rotation loses nothing and repeats nothing, however many times it happens.
		f.log("a", "before", now())
		f.rotate("a")
		expect("before")
		f.log("a", "after", now())
		f.log("a", "last", now())
		f.rotate("a")
		f.log("a", "once", now())
		f.rotate("a")
		f.log("a", "twice", now())
		expect("after last once twice")
		// What was written before the end is shown.
		time.Sleep(followEvery / 2)
		f.log("b", "bye", now())
		w.end()
		<-w.over
		expect("bye")
		if w.err != nil {
			t.Error(w.err)
		}
	})
}

func TestRecent(t *testing.T) {
	f := newFolder(t)
	f.append("a.log.1", entryLine("rotated", at(0)))
	f.log("a", "a1", at(1))
	f.log("b", "b2", at(2))
	f.append("c.log", strings.Repeat("x", recentBytes))
	f.append("c.log", strings.Repeat("y", recentBytes-1)+"\n")
	f.log("c", "c3", at(3))
	f.log("a", "a4", at(4))
	f.append("a.log", "half of a li")
	for most, want := range map[int]string{0: "[]", 2: "[c3 a4]", 10: "[a1 b2 c3 a4]"} {
		entries, err := Recent(f.dir, nil, &Filter{}, most)
		if err != nil {
			t.Fatal(err)
		}
		messages := []string{}
		for _, e := range entries {
			messages = append(messages, e.Msg)
		}
		if got := fmt.Sprint(messages); got != want {
			t.Errorf("the last %d are %s, want %s", most, got, want)
		}
	}
	if entries, err := Recent(f.dir, nil, &Filter{Replica: "b"}, 10); err != nil || len(entries) != 1 || entries[0].Msg != "b2" {
		t.Errorf("of b there are %v, %v", entries, err)
	}
	if entries, err := Recent(filepath.Join(f.dir, "none"), nil, &Filter{}, 1); err != nil || len(entries) > 0 {
		t.Errorf("got %v, %v where nothing has been said yet", entries, err)
	}
}

func TestRemoveOld(t *testing.T) {
	f := newFolder(t)
	now := time.Now()
	for _, name := range []string{"old.log", "old.log.1", "new.log", "old.txt"} {
		f.append(name, "x\n")
		if strings.HasPrefix(name, "old") {
			if err := os.Chtimes(filepath.Join(f.dir, name), now, now.Add(-time.Hour)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := RemoveOld(f.dir, now.Add(-time.Minute)); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(f.dir)
	if err != nil {
		t.Fatal(err)
	}
	var left []string
	for _, e := range entries {
		left = append(left, e.Name())
	}
	if want := []string{"new.log", "old.txt"}; !slices.Equal(left, want) {
		t.Errorf("left are %v, want %v", left, want)
	}
}

// Lines of one replica come through two pipes, and so may be a little late.
func TestShowLateLines(t *testing.T) {
	f := newFolder(t)
	f.log("a", "second", at(1).Add(3*time.Millisecond))
	f.log("a", "first", at(1))
	f.log("a", "third", at(1).Add(4*time.Millisecond))
	f.log("b", "fourth", at(2))
	f.log("a", "fifth", at(3))
	if got, want := f.show(Query{Tail: -1}), "first second third fourth fifth"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
