package link

import (
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/divisi-go/divisi/internal/call/memnet"
	"github.com/divisi-go/divisi/internal/wire"
)

// TestWatchAfterAStop: when this process itself stood still, the peer is given its time again.
func TestWatchAfterAStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, _ := memnet.Pipe(1<<10, "a", "b")
		o := Options{}.WithDefaults()
		l := New(near, &o, wire.Hello{Window: 1 << 20}, func() int { return 1 })
		defer l.Fail(net.ErrClosed)
		now := time.Now()
		judge := func(after time.Duration) (wire.Type, error) {
			l.watch.mu.Lock()
			defer l.watch.mu.Unlock()
			l.watch.due = now.Add(after)
			return l.watch.judgeLocked(l, now.Add(after))
		}
		if say, err := judge(2 * time.Second); say != wire.TypePing || err != nil {
			t.Fatalf("%v, %v", say, err)
		}
		l.watch.due = now.Add(3 * time.Second)
		l.watch.mu.Lock()
		_, err := l.watch.judgeLocked(l, now.Add(time.Hour))
		l.watch.mu.Unlock()
		if err != nil {
			t.Fatalf("after an hour's stop: %v", err)
		}
		if say, err := judge(time.Hour + 2*time.Second); say != wire.TypePing || err != nil {
			t.Fatalf("%v, %v", say, err)
		}
		if _, err := judge(time.Hour + 10*time.Second); !errors.Is(err, ErrSilent) {
			t.Fatalf("no answer: %v", err)
		}
	})
}
