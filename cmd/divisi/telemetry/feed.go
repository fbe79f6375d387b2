package telemetry

import (
	"context"
	"sync"
)

// Feed has lines of logs that are no files here, as they arrive. The zero value has none.
type Feed struct {
	mu    sync.Mutex // guards lines
	lines map[string][][]byte

	once sync.Once
	told chan struct{}
}

// NewFeed returns a feed that [Show] waits for until Told is called.
func NewFeed() *Feed { return &Feed{lines: map[string][][]byte{}, told: make(chan struct{})} }

// Add adds a line of the log of a server, which is called NAME@/DOMAIN.
func (f *Feed) Add(server, line string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lines[server] = append(f.lines[server], []byte(line))
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
	for server := range f.lines {
		names = append(names, server)
	}
	return names
}

// next returns the next line of a server, nil if there is none yet.
func (f *Feed) next(server string) []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	lines := f.lines[server]
	if len(lines) == 0 {
		return nil
	}
	f.lines[server] = lines[1:]
	return lines[0]
}
