package replica

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"

	"github.com/divisi-go/divisi/envelope"
	"github.com/divisi-go/divisi/envelope/protos"
	"github.com/divisi-go/divisi/internal/pipe"
)

// mailbox holds the routing for a replica: of each component the latest. What the replica has not been told
// yet is news.
type mailbox struct {
	mu     sync.Mutex // guards latest, news and told
	latest map[string]*protos.RoutingInfo
	news   map[string]bool
	told   chan struct{} // closed when there is no news any more; nil while there is none
	wake   chan struct{} // has an element when there may be news
	change chan struct{} // has an element when latest may have changed since somebody has looked
}

func newMailbox() *mailbox {
	return &mailbox{
		latest: map[string]*protos.RoutingInfo{}, news: map[string]bool{},
		wake: make(chan struct{}, 1), change: make(chan struct{}, 1),
	}
}

// put leaves a route. It does not wait.
func (m *mailbox) put(info *protos.RoutingInfo) {
	m.mu.Lock()
	m.latest[info.Component] = info
	m.news[info.Component] = true
	if m.told == nil {
		m.told = make(chan struct{})
	}
	m.mu.Unlock()
	ring(m.wake)
	ring(m.change)
}

// know notes what the replica was told before.
func (m *mailbox) know(routes []*protos.RoutingInfo) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, info := range routes {
		m.latest[info.Component] = info
	}
}

// all returns the latest routes, ordered by component.
func (m *mailbox) all() (routes []*protos.RoutingInfo) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, component := range slices.Sorted(maps.Keys(m.latest)) {
		routes = append(routes, m.latest[component])
	}
	return routes
}

func ring(bell chan<- struct{}) {
	select {
	case bell <- struct{}{}:
	default:
	}
}

// settle returns when the replica has been told everything, or ctx ends.
func (m *mailbox) settle(ctx context.Context) {
	m.mu.Lock()
	told := m.told
	m.mu.Unlock()
	if told == nil {
		return
	}

	select {
	case <-told:
	case <-ctx.Done():
	}
}

// settled takes note that the replica has been told what was taken.
func (m *mailbox) settled() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.news) == 0 && m.told != nil {
		close(m.told)
		m.told = nil
	}
}

// take returns the news.
func (m *mailbox) take() (routes []*protos.RoutingInfo) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for component := range m.news {
		routes = append(routes, m.latest[component])
	}
	clear(m.news)
	return routes
}

// giveBack makes news of routes that could not be told.
func (m *mailbox) giveBack(routes []*protos.RoutingInfo) {
	m.mu.Lock()
	for _, info := range routes {
		m.news[info.Component] = true
	}
	m.mu.Unlock()
	ring(m.wake)
}

// deliver tells the replica until ctx ends, with the conversation.
func (m *mailbox) deliver(ctx context.Context, env *envelope.Envelope) {
	for {
		select {
		case <-m.wake:
		case <-ctx.Done():
			return
		}

		news := m.take()
		for i, info := range news {
			// A replica that does not listen is hung, which its health shows.
			err := env.UpdateRoutingInfo(info)
			if errors.Is(err, pipe.ErrClosed) {
				m.giveBack(news[i:]) // for the next conversation
				return
			}
		}
		m.settled()
	}
}
