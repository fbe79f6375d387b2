package call

import (
	"context"
	"errors"
	"sync"

	"github.com/divisi-go/divisi/internal/call/link"
	"github.com/divisi-go/divisi/internal/wire"
)

// Feed is the receiving end of a stream on one connection. The reading goroutine puts elements
// in, Recv takes them out; credit for an element goes back when it is taken, so a consumer
// that stops holds one window.
type Feed struct {
	c *Client
	p *pending

	mu      sync.Mutex
	queue   []element
	rx      link.Inflow
	parts   int64         // credit held by an element of which chunks are missing
	waiting bool          // Next waits for that element
	ended   bool          // nothing more is pushed, and the call has its outcome
	wake    chan struct{} // of capacity 1
}

type element struct {
	b       []byte
	message *wire.Message // has it, if it came in chunks
	cost    int64
}

func newFeed(c *Client, p *pending) *Feed {
	f := &Feed{c: c, p: p, wake: make(chan struct{}, 1)}
	f.rx.Left = int64(c.link.Options.CallWindow)
	return f
}

func (f *Feed) take(cost int64) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.rx.Take(cost)
}

func (f *Feed) give(cost int64) uint32 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.rx.Give(cost, f.c.link.Options.CallWindow)
}

// part accounts for a chunk of an element. An element longer than the window can only be
// finished while somebody waits for it.
func (f *Feed) part(cost int64) {
	f.mu.Lock()
	f.parts += cost
	n := f.givePartsLocked()
	f.mu.Unlock()
	f.c.link.SendCredit(f.p.id, n)
}

func (f *Feed) givePartsLocked() uint32 {
	if !f.waiting {
		return 0
	}
	cost := f.parts
	f.parts = 0
	return f.rx.Give(cost, f.c.link.Options.CallWindow)
}

func (f *Feed) push(e element) {
	f.mu.Lock()
	e.cost += f.parts
	f.queue = append(f.queue, e)
	f.parts, f.waiting = 0, false
	f.mu.Unlock()
	f.look()
}

// end tells the consumer that the call has its outcome.
func (f *Feed) end() {
	f.mu.Lock()
	f.ended = true
	f.mu.Unlock()
	f.look()
}

// look makes the consumer look again.
func (f *Feed) look() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// ErrFeedEnded says that all elements have been taken and that the call has its outcome.
var ErrFeedEnded = errors.New("the stream on this connection has ended")

// Next returns the next element. Its error is ErrFeedEnded, or that of ctx.
func (f *Feed) Next(ctx context.Context) ([]byte, error) {
	for {
		f.mu.Lock()
		if len(f.queue) > 0 {
			e := f.queue[0]
			f.queue[0] = element{}
			f.queue = f.queue[1:]
			n := f.rx.Give(e.cost, f.c.link.Options.CallWindow)
			f.mu.Unlock()
			f.c.link.SendCredit(f.p.id, n)
			if e.message != nil {
				return e.message.Body(), nil
			}
			return e.b, nil
		}
		ended := f.ended
		f.waiting = !ended
		n := f.givePartsLocked()
		f.mu.Unlock()
		if ended {
			return nil, ErrFeedEnded
		}
		f.c.link.SendCredit(f.p.id, n)
		select {
		case <-f.wake:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// Outcome returns how the call has ended. It is for whom Next has told that it has.
func (f *Feed) Outcome() (Reply, error) { return f.p.outcome() }

// Abandon ends a stream that nobody reads any more, unless it has ended. The server is told.
func (f *Feed) Abandon() { f.c.abandon(f.p) }
