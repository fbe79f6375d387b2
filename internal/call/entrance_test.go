package call_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/divisi-go/divisi/codegen"
	"github.com/divisi-go/divisi/internal/call"
	"github.com/divisi-go/divisi/internal/call/balance"
	"github.com/divisi-go/divisi/internal/call/calltest"
	"github.com/divisi-go/divisi/internal/call/memnet"
)

// busy is a server with too much to do: two calls run, which wait to be released, and four wait.
type busy struct {
	*calltest.Host
	n       *memnet.Network
	ran     atomic.Int32
	release chan bool
	spare   atomic.Int32
	calls   sync.WaitGroup
}

func newBusy(t *testing.T) *busy {
	b := &busy{n: memnet.New(), release: make(chan bool)}
	b.spare.Store(-1)
	b.Host = calltest.ServeMem(t, b.n, "a", call.ServerOptions{
		MaxInFlight: 4, // the limit is 2 then
		Spare:       func() int { return int(b.spare.Load()) },
		Lookup: calltest.Handlers{1: func(context.Context, *call.Incoming) call.Reply {
			b.ran.Add(1)
			<-b.release
			return call.Reply{}
		}}.Lookup,
	})
	return b
}

// begin makes a call, whose outcome comes later.
func (b *busy) begin(ctx context.Context, p *balance.Pool) <-chan outcome {
	ended := make(chan outcome, 1)
	b.calls.Go(func() {
		reply, err := p.Call(ctx, &call.Request{Method: codegen.Key{1}})
		ended <- outcome{reply, err}
	})
	synctest.Wait()
	return ended
}

type outcome struct {
	call.Reply
	err error
}

// TestEntrance: calls beyond the limit wait, and are not begun when it is too late or nobody wants them.
func TestEntrance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBusy(t)
		p := memPool(t, b.n, balance.PoolOptions{}, "a")
		soon, cancelSoon := context.WithTimeout(t.Context(), 90*time.Millisecond)
		defer cancelSoon()
		given, giveUp := context.WithCancel(t.Context())

		first := b.begin(t.Context(), p)
		second := b.begin(t.Context(), p)
		late := b.begin(soon, p)
		unwanted := b.begin(given, p)
		if b.ran.Load() != 2 || b.Stats().InFlight != 4 {
			t.Fatalf("%d calls run, %+v", b.ran.Load(), b.Stats())
		}

		giveUp()
		if o := <-unwanted; !errors.Is(o.err, context.Canceled) {
			t.Errorf("a call that is given up: %v, %v", o.Status, o.err)
		}
		synctest.Wait()
		if b.Stats().InFlight != 3 {
			t.Errorf("a call that nobody wants waits on: %+v", b.Stats())
		}

		began := time.Now()
		for b.Stats().Shed == 0 && time.Since(began) < time.Second {
			<-time.After(time.Millisecond)
		}
		calltest.Within(t, "refusing a call", time.Since(began), 30*time.Millisecond, 33*time.Millisecond)
		if o := <-late; !errors.Is(o.err, context.DeadlineExceeded) && o.Status != codegen.StatusOverloaded {
			t.Errorf("a call without time to wait: %v, %v", o.Status, o.err)
		}

		third := b.begin(t.Context(), p)
		if b.ran.Load() != 2 {
			t.Error("a call has begun beyond the limit")
		}
		b.spare.Store(1) // the others wait for something
		<-time.After(2 * time.Millisecond)
		synctest.Wait()
		if b.ran.Load() != 3 {
			t.Error("a call has not begun though a processor is free")
		}
		close(b.release)
		for _, ended := range []<-chan outcome{first, second, third} {
			if o := <-ended; o.err != nil || o.Status != codegen.StatusOK {
				t.Errorf("%v, %v", o.Status, o.err)
			}
		}
		b.calls.Wait()
		synctest.Wait()
		if s := b.Stats(); s.InFlight != 0 || b.ran.Load() != 3 {
			t.Errorf("%d calls ran, %+v", b.ran.Load(), s)
		}
	})
}

// TestEntranceEnds: calls that wait begin when others have ended, also during a drain, and are forgotten
// with their connection.
func TestEntranceEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBusy(t)
		p, other := memPool(t, b.n, balance.PoolOptions{}, "a"), memPool(t, b.n, balance.PoolOptions{}, "a")
		first := b.begin(t.Context(), p)
		second := b.begin(t.Context(), p)
		third := b.begin(t.Context(), p)
		cut := b.begin(t.Context(), other)

		other.Close()
		if o := <-cut; o.err == nil {
			t.Errorf("a call whose connection was closed: %v", o.Status)
		}
		synctest.Wait()
		if b.Stats().InFlight != 3 {
			t.Errorf("%+v", b.Stats())
		}

		drained := make(chan error, 1)
		go func() { drained <- b.Drain(t.Context()) }()
		synctest.Wait()
		for range 3 {
			b.release <- true
			synctest.Wait()
		}
		for _, ended := range []<-chan outcome{first, second, third} {
			if o := <-ended; o.err != nil || o.Status != codegen.StatusOK {
				t.Errorf("%v %q, %v", o.Status, o.Body, o.err)
			}
		}
		if err := <-drained; err != nil {
			t.Error(err)
		}
		b.calls.Wait()
	})
}

// TestRefusalText: who is refused is told that nothing was executed.
func TestRefusalText(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBusy(t)
		nc, err := b.n.Dial(t.Context(), "a")
		if err != nil {
			t.Fatal(err)
		}
		c := converse(t, nc, "a")
		for range 2 {
			go c.Call(t.Context(), &call.Request{Method: codegen.Key{1}})
		}
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), 90*time.Millisecond)
		defer cancel()
		reply, err := c.Call(ctx, &call.Request{Method: codegen.Key{1}})
		if reply.Status != codegen.StatusOverloaded || !strings.Contains(string(reply.Body), "has not begun the call") {
			t.Errorf("%v %q, %v", reply.Status, reply.Body, err)
		}
		close(b.release)
		synctest.Wait()
	})
}
