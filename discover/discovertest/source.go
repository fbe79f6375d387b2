// Package discovertest has a source for tests of what follows one, and a test for sources.
package discovertest

import (
	"context"
	"strconv"
	"sync"
	"time"

	"github.com/divisi-go/divisi/discover"
)

// Source is a source whose data a test sets. The zero value has nothing. Its requests wait for a minute for a
// change, of the bubble's time in a test that runs in one of synctest.
type Source struct {
	mu       sync.Mutex
	data     discover.Data
	version  int
	failure  error
	requests int
	changed  chan struct{} // closed at a change; nil while nobody waits
}

var _ discover.Source = (*Source)(nil)

// Put makes a text all that the source has.
func (s *Source) Put(text string) { s.Set(discover.Entry{Value: []byte(text)}) }

// Set makes entries all that the source has; without any there is nothing.
func (s *Source) Set(entries ...discover.Entry) {
	s.change(func() {
		s.version++
		s.data.Entries = entries
	})
}

// Fail makes requests fail, those that wait too, until it is called with nil.
func (s *Source) Fail(err error) { s.change(func() { s.failure = err }) }

// Requests returns how many requests there were.
func (s *Source) Requests() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests
}

// Get returns what the source has.
func (s *Source) Get(ctx context.Context, after discover.Version) (discover.Data, error) {
	s.mu.Lock()
	s.requests++
	s.mu.Unlock()

	timer := time.NewTimer(time.Minute)
	defer timer.Stop()
	for waited := false; ; {
		data, changed, err := s.now()
		if err != nil || data.Version != after || waited {
			return data, err
		}

		select {
		case <-changed:
		case <-timer.C:
			waited = true
		case <-ctx.Done():
			return discover.Data{}, ctx.Err()
		}
	}
}

func (*Source) String() string { return "test" }

// now returns what a request is answered with at the moment, and a channel that is closed when that changes.
func (s *Source) now() (discover.Data, <-chan struct{}, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.changed == nil {
		s.changed = make(chan struct{})
	}
	data := s.data
	data.Version = discover.Version(strconv.Itoa(s.version))
	return data, s.changed, s.failure
}

// change makes a change, and wakes those who wait.
func (s *Source) change(make func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	make()
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
}
