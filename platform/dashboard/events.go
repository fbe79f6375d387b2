package dashboard

import (
	"slices"
	"sync"

	"github.com/divisi-go/divisi/internal/deployer"
)

// maxEvents bounds what is remembered.
const maxEvents = 200

// Events are the latest events of an application.
type Events struct {
	mu   sync.Mutex // guards list
	list []deployer.Event
}

// NewEvents returns no events.
func NewEvents() *Events { return &Events{} }

// Add adds an event, and forgets the oldest one if there are too many.
func (e *Events) Add(event deployer.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.list = append(e.list, event)
	if len(e.list) > maxEvents {
		e.list = e.list[1:]
	}
}

// List returns the events, the oldest first.
func (e *Events) List() []deployer.Event {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.list)
}
