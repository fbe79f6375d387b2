package telemetry

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/divisi-go/divisi/internal/logline"
)

// Feed has lines of logs that are no files here, as they arrive, until somebody takes them. Of more than it has room for it
// leaves out the oldest ones of the server with the most, and says how many where they were.
type Feed struct {
	room int // for lines, in bytes

	mu   sync.Mutex // guards what follows
	said map[string]*said
	size int // bytes of all lines

	once sync.Once
	told chan struct{}
}

// said is what a server has said.
type said struct {
	lines [][]byte
	size  int    // bytes of lines
	left  int    // how many lines before them were left out
	last  []byte // of those
}

// feedRoom is how many bytes of lines wait for somebody who takes them: all that a few servers keep in files, and the end of
// what many do.
const feedRoom = 64 << 20

// NewFeed returns a feed that [Show] waits for until Told is called.
func NewFeed() *Feed {
	return &Feed{room: feedRoom, said: map[string]*said{}, told: make(chan struct{})}
}

// Add adds a line of the log of a server, which is called NAME@/DOMAIN.
func (f *Feed) Add(server, line string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.said[server]
	if s == nil {
		s = &said{}
		f.said[server] = s
	}
	s.lines, s.size, f.size = append(s.lines, []byte(line)), s.size+len(line), f.size+len(line)

	for f.size > f.room {
		most := slices.MaxFunc(slices.Collect(maps.Values(f.said)), func(a, b *said) int { return cmp.Compare(a.size, b.size) })
		most.last = f.take(most)
		most.left++
	}
}

// take takes the next line of a server; the mutex is held.
func (f *Feed) take(s *said) []byte {
	line := s.lines[0]
	s.lines = s.lines[1:]
	s.size, f.size = s.size-len(line), f.size-len(line)
	return line
}

// Told says that what there was is in the feed.
func (f *Feed) Told() { f.once.Do(func() { close(f.told) }) }

// wait returns when what there was is in the feed, or when ctx ends.
func (f *Feed) wait(ctx context.Context) {
	if f == nil {
		return
	}
	select {
	case <-f.told:
	case <-ctx.Done():
	}
}

// servers returns those that have said something.
func (f *Feed) servers() (names []string) {
	if f == nil {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for server := range f.said {
		names = append(names, server)
	}
	return names
}

// next returns the next line of a server, nil if there is none yet.
func (f *Feed) next(server string) []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.said[server]
	switch {
	case s == nil:
		return nil
	case s.left > 0:
		gap := parse(s.last, server)
		text := fmt.Sprintf("%d lines are left out here: there were more than were shown", s.left)
		s.left, s.last = 0, nil
		return logline.Append(nil, &logline.Entry{Time: gap.Time, Level: "warn", Msg: text, Node: server}, "")
	case len(s.lines) > 0:
		return f.take(s)
	}
	return nil
}
