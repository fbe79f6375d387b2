package call_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/divisi-go/divisi/codegen"
	"github.com/divisi-go/divisi/internal/call"
	"github.com/divisi-go/divisi/internal/call/balance"
	"github.com/divisi-go/divisi/internal/call/calltest"
	"github.com/divisi-go/divisi/internal/call/memnet"
)

// TestLifetime: the context of a call ends in the same way, whether somebody waited for it or not, and a
// handler may keep it for longer than the call takes.
func TestLifetime(t *testing.T) {
	for _, waits := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			n := memnet.New()
			contexts := make(chan context.Context, 1)
			release := make(chan bool, 1)
			h := calltest.ServeMem(t, n, "a", call.ServerOptions{Lookup: calltest.Handlers{
				1: func(ctx context.Context, in *call.Incoming) call.Reply {
					if waits {
						ctx.Done()
					}
					contexts <- ctx
					<-release
					return call.Reply{}
				}}.Lookup})
			p := memPool(t, n, balance.PoolOptions{}, "a")
			begin := func(ctx context.Context) context.Context {
				go p.Call(ctx, &call.Request{Method: codegen.Key{1}})
				synctest.Wait()
				return <-contexts
			}
			check := func(what string, ctx context.Context, want error) {
				t.Helper()
				synctest.Wait()
				early := ctx.Err()
				select {
				case <-ctx.Done():
				default:
					if want != nil {
						t.Errorf("%s, waits: %v: one can still wait for it", what, waits)
					}
				}
				if cause := context.Cause(ctx); !errors.Is(early, want) || !errors.Is(ctx.Err(), want) || !errors.Is(cause, want) {
					t.Errorf("%s, waits: %v: %v, then %v, for %v; want %v", what, waits, early, ctx.Err(), cause, want)
				}
			}

			ended := begin(t.Context())
			child, cancel := context.WithCancel(ended)
			defer cancel()
			if ended.Err() != nil || child.Err() != nil {
				t.Errorf("a call that runs: %v, %v", ended.Err(), child.Err())
			}
			release <- true
			check("the handler has returned", ended, context.Canceled)
			check("the handler has returned, below", child, context.Canceled)

			bounded, stop := context.WithTimeout(t.Context(), time.Second)
			defer stop()
			late := begin(bounded)
			if d, ok := late.Deadline(); !ok || time.Until(d) > time.Second+time.Millisecond {
				t.Errorf("deadline in %v, %v", time.Until(d), ok)
			}
			time.Sleep(time.Second - time.Millisecond)
			if late.Err() != nil {
				t.Errorf("before its deadline: %v", late.Err())
			}
			time.Sleep(2 * time.Millisecond)
			early := late.Err()
			release <- true
			check("its deadline has passed", late, early)
			if early == nil {
				t.Error("a deadline that has passed is no error")
			}

			given, giveUp := context.WithCancel(t.Context())
			dropped := begin(given)
			giveUp()
			check("its caller has given up", dropped, context.Canceled)
			release <- true

			cut := begin(t.Context())
			h.Stop()
			check("the server has stopped", cut, context.Canceled)
			release <- true
			check("the server has stopped, and the handler", cut, context.Canceled)
		})
	}
}
