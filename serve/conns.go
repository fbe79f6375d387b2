package serve

import (
	"context"
	"errors"
	"net"
	"sync"
	"syscall"
	"time"
)

// Conns returns a member that accepts connections and gives each to a call of handle, which may return
// when it likes; then the connection is closed.
//
// When the member is to end, ctx ends. A connection on which handle waits in Read for the next request,
// so that it has read nothing since it last wrote, is closed when nothing has passed for 200 ms. Any
// other is handle's until time is up, and is then cut.
func Conns(l net.Listener, handle func(ctx context.Context, c net.Conn)) Member {
	served, drained := opened.drains(l)
	drained.Turns()
	return &conns{server{listener: served, drained: drained}, handle}
}

type conns struct {
	server
	handle func(context.Context, net.Conn)
}

// Serve implements [Member].
func (m *conns) Serve(ctx context.Context) error {
	var handlers sync.WaitGroup
	defer handlers.Wait()
	s := m.server
	s.serve = func(l net.Listener) error {
		defer l.Close()
		for {
			c, err := l.Accept()
			switch {
			case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE), errors.Is(err, syscall.ECONNABORTED):
				select {
				case <-time.After(retry):
				case <-ctx.Done():
				}
				continue
			case err != nil:
				return err
			}
			handlers.Go(func() {
				defer c.Close()
				m.handle(ctx, c)
			})
		}
	}
	return s.Serve(ctx)
}

// retry is how long a process without free descriptors waits for one.
const retry = 10 * time.Millisecond
