package call_test

import (
	"context"
	"fmt"
	"io"
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
			n := memnet.New()
			slow := func(_ context.Context, in *call.Incoming) call.Reply {
				<-time.After(test.took)
				return call.Reply{Body: in.Args}
			}
			h := calltest.ServeMem(t, n, "a", call.ServerOptions{Lookup: calltest.Handlers{1: calltest.Echo, 2: slow}.Lookup})
			p := memPool(t, n, balance.PoolOptions{}, "a")
			calltest.MustCall(t, p, &call.Request{Method: codegen.Key{1}})

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

func callOrStream(p *balance.Pool, args []byte, stream bool) error {
	r := &call.Request{Method: codegen.Key{2}, Args: args}
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
