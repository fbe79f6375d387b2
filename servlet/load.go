package servlet

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/tetratelabs/wazero"
)

// entry is what is known of a file.
//
//   - good is the version that requests have; nil before the first one could be loaded.
//   - seen is the file as it was when it was last read, and err why that is not the good version, if it is not.
//   - loading is closed when the file that is being read is loaded, or cannot be; nil if none is.
type entry struct {
	good    *program
	seen    fs.FileInfo
	settled bool // seen had not changed for a while when it was read, so it is what was read as long as it looks the same
	err     error
	loaded  time.Time // when good was
	loading chan struct{}

	requests, failed uint64
}

// program is a compiled version of a file. It is closed when nobody runs it, and it is the good one no longer.
type program struct {
	code  wazero.CompiledModule
	sum   [sha256.Size]byte // of the file
	users int               // guarded by Servlets.mu
}

// Status is how a servlet is.
type Status struct {
	Name             string    // of its file, below the folder
	Loaded           time.Time // when the version was loaded that requests have; zero: there is none
	Err              error     // why the newest file is not that version
	Requests, Failed uint64
}

// Status returns how the servlets are that were asked for, in the order of their names.
func (s *Servlets) Status() []Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []Status
	for name, e := range s.byName {
		all = append(all, Status{name, e.loaded, e.err, e.requests, e.failed})
	}
	slices.SortFunc(all, func(a, b Status) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// Running returns how many instances there are, and how many there may be.
func (s *Servlets) Running() (running, most int) { return len(s.slots), cap(s.slots) }

// use returns the version of a file that a request has; the caller releases it. Where there is none yet, it waits until
// the file is loaded, or the context ends.
func (s *Servlets) use(ctx context.Context, folder *os.Root, name string) (*program, error) {
	for {
		info, err := folder.Stat(name)
		if err == nil && !info.Mode().IsRegular() {
			err = fs.ErrNotExist
		}
		if err != nil {
			s.forget(name, err)
			return nil, err
		}
		p, wait, err := s.look(folder, name, info)
		if wait == nil {
			return p, err
		}
		select {
		case <-wait:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// look returns the version that requests have now, or what to wait for.
func (s *Servlets) look(folder *os.Root, name string, info fs.FileInfo) (p *program, wait <-chan struct{}, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.byName[name]
	if e == nil {
		e = &entry{}
		s.byName[name] = e
	}
	if e.loading == nil && !e.has(info) {
		e.loading = make(chan struct{})
		go s.load(folder, name, e, info, e.good)
	}
	switch {
	case e.good != nil:
		e.good.users++
		e.requests++
		return e.good, nil, nil
	case e.loading != nil:
		return nil, e.loading, nil
	}
	e.requests++
	e.failed++
	return nil, nil, e.err
}

// settledAfter is how long ago a file must have changed to be known by its time and size: one that changes twice within a
// tick of the file system's clock, to the same size, looks as if it had not changed.
const settledAfter = 2 * time.Second

// has reports whether a file is the one that was read.
func (e *entry) has(now fs.FileInfo) bool {
	if e.seen == nil || !os.SameFile(e.seen, now) || !e.seen.ModTime().Equal(now.ModTime()) || e.seen.Size() != now.Size() {
		return false
	}
	return e.settled || time.Since(now.ModTime()) < settledAfter
}

// load loads a file that looked as it is said, and keeps the version before if that is not possible.
func (s *Servlets) load(folder *os.Root, name string, e *entry, seen fs.FileInfo, before *program) {
	select {
	case s.loads <- struct{}{}:
	case <-s.ended.Done():
		return
	}
	defer func() { <-s.loads }()
	began := time.Now()
	p, info, err := s.try(folder, name, before)
	if info != nil {
		seen = info
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	e.seen, e.settled, e.err = seen, began.Sub(seen.ModTime()) >= settledAfter, err
	close(e.loading)
	e.loading = nil
	switch {
	case err != nil:
		s.Log.Error("a servlet cannot be loaded", "servlet", name, "error", err, "version_before", e.good != nil)
	case s.byName[name] != e: // the file was removed meanwhile
		s.drop(p)
	case p != nil:
		s.drop(e.good)
		e.good, e.loaded = p, time.Now()
		s.Log.Info("a servlet is loaded", "servlet", name, "took", e.loaded.Sub(began).Round(time.Millisecond))
	}
}

// try loads a file: compiles it, and has it prepare itself. It returns no program if that is the one before, and the file
// as it was when it was read.
func (s *Servlets) try(folder *os.Root, name string, before *program) (*program, fs.FileInfo, error) {
	file, err := folder.Open(name)
	if err != nil {
		return nil, nil, err
	}
	defer file.Close()
	seen, err := file.Stat()
	if err != nil {
		return nil, nil, err
	}
	code, err := io.ReadAll(io.LimitReader(file, fileMax+1))
	switch {
	case err != nil:
		return nil, seen, err
	case len(code) > fileMax:
		return nil, seen, fmt.Errorf("the file has more than %d bytes", fileMax)
	case before != nil && before.sum == sha256.Sum256(code):
		return nil, seen, nil
	}
	p, err := s.compile(code)
	if err != nil {
		return nil, seen, err
	}

	said := &bounded{max: saidMax}
	err = s.run(s.ended, p, instance{args: []string{name, "init"}, in: strings.NewReader(""), out: said, log: said})
	s.say(name, said)
	if err != nil {
		p.code.Close(context.Background())
		return nil, seen, errors.New("init: " + why(err))
	}
	return p, seen, nil
}

// release gives a version back.
func (s *Servlets) release(p *program) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drop(p)
}

// drop is release, with the mutex held.
func (s *Servlets) drop(p *program) {
	if p == nil {
		return
	}
	p.users--
	if p.users == 0 {
		p.code.Close(context.Background())
	}
}

// forget forgets a file that is not there.
func (s *Servlets) forget(name string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.byName[name]
	if e == nil || !errors.Is(err, fs.ErrNotExist) {
		return
	}
	delete(s.byName, name)
	s.drop(e.good)
	e.good = nil
}

// failed counts a request that a servlet did not answer.
func (s *Servlets) failed(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.byName[name]; e != nil {
		e.failed++
	}
}

// say logs what a servlet has written to its standard error.
func (s *Servlets) say(name string, said *bounded) {
	for line := range strings.Lines(string(said.bytes)) {
		s.Log.Info("a servlet says", slog.String("servlet", name), slog.String("line", strings.TrimRight(line, "\r\n")))
	}
}
