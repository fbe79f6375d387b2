package server

import (
	"context"
	"sync"

	"github.com/divisi-go/divisi/internal/keeper"
)

// Hangs tells whoever waits for the end of a start that the keeper has given it up, and kills it. The zero value
// is ready to use. It is safe for concurrent use.
type Hangs struct {
	mu   sync.Mutex                // guards told
	told map[keeper.ID]chan string // why, of each start that somebody waits for; each has room for one
}

// Of returns where it is told why a start is given up, once it is, until nobody waits for its end any more.
func (h *Hangs) Of(start keeper.ID) (why <-chan string, forget func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.told == nil {
		h.told = map[keeper.ID]chan string{}
	}
	told := make(chan string, 1)
	h.told[start] = told
	return told, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.told, start)
	}
}

// Serve hears what the keeper tells of a domain, until ctx ends or there will be no keeper any more.
func (h *Hangs) Serve(ctx context.Context, k Session, domain string) {
	var last uint64
	for {
		list, err := k.Next(ctx, domain, last)
		if err != nil {
			return
		}
		for _, e := range list {
			last = e.Number
			if e.Kind == keeper.Hung {
				h.tell(e)
			}
		}
	}
}

func (h *Hangs) tell(e keeper.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	select {
	case h.told[e.ID] <- e.Text:
	default: // nobody waits for it, or was told
	}
}
