package link

import (
	"context"
	"errors"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/divisi-go/divisi/internal/call/memnet"
	"github.com/divisi-go/divisi/internal/wire"
)

// TestQueueIsBounded: a peer that takes nothing does not fill the memory, whatever is to be sent
// to it, and whoever sends learns that it has gone.
func TestQueueIsBounded(t *testing.T) {
	for name, size := range map[string]int{"short messages": 60_000, "long messages": 3_000_000} {
		synctest.Test(t, func(t *testing.T) {
			near, _ := memnet.Pipe(64<<10, "a", "b")
			o := Options{}.WithDefaults()
			l := New(near, &o, wire.Hello{Window: 4 << 20}, func() int { return 500 })
			l.Wake()
			start := time.Now()

			var senders sync.WaitGroup
			for i := range uint32(500) {
				senders.Go(func() {
					h := wire.Header{Call: i + 1, Type: wire.TypeResponse, Length: uint32(size)}
					body := make([]byte, size)
					if size <= wire.MaxChunk {
						l.Out.Send(context.Background(), h.Append(nil), body, Self)
						return
					}
					out := &Outgoing{Header: h, Body: body, Flow: &Outflow{Credit: 256 << 10}, Done: make(chan struct{})}
					l.Out.SendMessage(out, Self)
					<-out.Done
					if !errors.Is(out.Err, ErrStalled) && !errors.Is(out.Err, ErrSilent) {
						t.Errorf("%s: a message ends with %v", name, out.Err)
					}
				})
			}
			synctest.Wait()
			l.Out.mu.Lock()
			if l.Out.queued > 5<<20 {
				t.Errorf("%s: %d bytes are queued", name, l.Out.queued)
			}
			l.Out.mu.Unlock()

			var reading sync.WaitGroup
			reading.Go(func() { l.Serve(func(wire.Frame) error { return nil }) })
			senders.Wait()
			reading.Wait()
			if l.Cause() == nil || time.Since(start) > time.Minute {
				t.Errorf("%s: the link lives for %v: %v", name, time.Since(start), l.Cause())
			}
		})
	}
}

// TestUrgent: what is urgent is written at once, also beside many calls, for the next turn of whoever writes may come late.
func TestUrgent(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	near, _ := memnet.Pipe(1<<20, "a", "b")
	s := slowTrier{near, make(chan int, 1)}
	o := Options{}.WithDefaults()
	l := New(s, &o, wire.Hello{Window: 1 << 20}, func() int { return 100 })
	defer l.Fail(net.ErrClosed)
	const times = 100
	later := 0
	for range times {
		var other atomic.Bool
		go other.Store(true)
		s.take <- pingSize
		l.sendPing(wire.TypePong, [8]byte{})
		if other.Load() {
			later++
		}
	}
	if later > times/2 { // now and then the processor is taken away
		t.Errorf("whoever writes lets others go first %d times of %d", later, times)
	}
}
