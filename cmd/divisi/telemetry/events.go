package telemetry

import (
	"context"
	"slices"
	"sync"

	"github.com/divisi-go/divisi/internal/deployer"
)

// maxEvents bounds what is remembered.
const maxEvents = 200

// Events are the latest events of an application. The zero value has none.
type Events struct {
	mu    sync.Mutex // guards all of it
	list  []deployer.Event
	count int           // of all that there ever were
	more  chan struct{} // closed at the next one; nil if nobody waits
}

// Add adds an event, and forgets the oldest one if there are too many. It never waits.
func (e *Events) Add(event deployer.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.count++
	e.list = append(e.list, event)
	if len(e.list) > maxEvents {
		e.list = slices.Delete(e.list, 0, 1)
	}
	if e.more != nil {
		close(e.more)
		e.more = nil
	}
}

// List returns the events, the oldest first.
func (e *Events) List() []deployer.Event {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.list)
}

// Follow hands on the events that are remembered, and those to come until ctx ends. One who is
// slow misses some.
func (e *Events) Follow(ctx context.Context, show func(deployer.Event) error) error {
	seen := 0
	for ended := false; ; {
		e.mu.Lock()
		fresh := slices.Clone(e.list[max(0, len(e.list)-(e.count-seen)):])
		seen = e.count
		if e.more == nil {
			e.more = make(chan struct{})
		}
		more := e.more
		e.mu.Unlock()
		for _, event := range fresh {
			if err := show(event); err != nil {
				return err
			}
		}
		if ended {
			return nil
		}
		select {
		case <-more:
		case <-ctx.Done():
			ended = true // what came with the end is handed on
		}
	}
}
