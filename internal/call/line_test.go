package call

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/divisi-go/divisi/codegen"
)

// TestManyCallers: calls and streams beyond what a connection takes wait in order, however slow
// the handlers are, and none fails.
func TestManyCallers(t *testing.T) {
	const limit = 1024
	for _, test := range []struct {
		callers int
		took    time.Duration // of a handler
		size    int           // of arguments and results
	}{
		{1_100, 40 * time.Second, 0},
		{2_000, 200 * time.Millisecond, 0},
		{3_000, time.Millisecond, 20_000},
	} {
		synctest.Test(t, func(t *testing.T) {
			n := newMemNet()
			slow := func(_ context.Context, in *Incoming) Reply {
				<-time.After(test.took)
				return Reply{Body: in.Args}
			}
			h := serveMem(t, n, "a", ServerOptions{Lookup: handlers{1: echo, 2: slow}.lookup})
			p := memPool(t, n, PoolOptions{}, "a")
			mustCall(t, p, &Request{Method: codegen.Key{1}})

			start := time.Now()
			args := make([]byte, test.size)
			var late atomic.Int64 // calls that were made too late
			var wg sync.WaitGroup
			for i := range test.callers {
				synctest.Wait()
				wg.Go(func() {
					if err := callOrStream(p, args, i%10 == 0); err != nil {
						t.Errorf("call %d of %d: %v", i, test.callers, err)
					}
					round := time.Duration(i/limit + 1)
					if took := time.Since(start); test.size == 0 && took > round*test.took+test.took/2 {
						late.Add(1)
					}
				})
			}
			wg.Wait()
			if late.Load() > 0 {
				t.Errorf("%d of %d calls were overtaken by later ones", late.Load(), test.callers)
			}
			if s := p.Stats(); s.Retries != 0 || h.Stats().Errors != 0 {
				t.Errorf("stats %+v, %+v", s, h.Stats())
			}
		})
	}
}

func callOrStream(p *Pool, args []byte, stream bool) error {
	r := &Request{Method: codegen.Key{2}, Args: args}
	if !stream {
		reply, err := p.Call(context.Background(), r)
		if err == nil && reply.Status != codegen.StatusOK {
			err = fmt.Errorf("%v", reply.Status)
		}
		return err
	}

	s, err := p.Stream(context.Background(), r)
	if err != nil {
		return err
	}
	if _, err = s.Recv(); err != io.EOF {
		return fmt.Errorf("the stream ends with %w", err)
	}
	return nil
}

// TestWaitingCallEnds: a call that waits for its turn ends with its context, and those behind it
// get theirs; all of them go elsewhere when the connection takes no more calls.
func TestWaitingCallEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newMemNet()
		release := make(chan bool)
		lookup := handlers{1: func(context.Context, *Incoming) Reply {
			<-release
			return Reply{}
		}}.lookup
		first := serveMem(t, n, "a", ServerOptions{Lookup: lookup, Conn: Options{MaxInFlight: 1}})
		p := memPool(t, n, PoolOptions{}, "a")

		var wg sync.WaitGroup
		var answered atomic.Int32
		begin := func(ctx context.Context) <-chan error {
			failed := make(chan error, 1)
			wg.Go(func() {
				_, err := p.Call(ctx, &Request{Method: codegen.Key{1}})
				if err == nil {
					answered.Add(1)
				}
				failed <- err
			})
			synctest.Wait()
			return failed
		}
		ctx, cancel := context.WithCancel(t.Context())
		begin(t.Context()) // has the slot
		second := begin(ctx)
		third := begin(t.Context())
		fourth := begin(t.Context())

		cancel()
		if err := <-second; !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "waiting for a turn") {
			t.Errorf("a call that waited when its context ended: %v", err)
		}
		release <- true
		synctest.Wait()
		if first.Stats().Calls != 2 || answered.Load() != 1 {
			t.Errorf("%d calls were made, %d answered", first.Stats().Calls, answered.Load())
		}

		other := serveMem(t, n, "b", ServerOptions{Lookup: lookup})
		p.SetReplicas([]string{"b"})
		synctest.Wait()
		if other.Stats().InFlight != 1 {
			t.Errorf("the call that waited did not go elsewhere: %+v", other.Stats())
		}
		close(release)
		wg.Wait()
		if err := errors.Join(<-third, <-fourth); err != nil {
			t.Error(err)
		}
	})
}
