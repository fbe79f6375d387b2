package call_test

import (
	"bytes"
	"context"
	"runtime"
	"runtime/debug"
	"testing"
	"testing/synctest"
	"time"

	"github.com/divisi-go/divisi/codegen"
	"github.com/divisi-go/divisi/internal/call"
	"github.com/divisi-go/divisi/internal/call/balance"
	"github.com/divisi-go/divisi/internal/call/calltest"
	"github.com/divisi-go/divisi/internal/call/memnet"
)

// TestFastMethod: a method that has proved fast runs on the goroutine that reads, and whatever it does
// there one day, other calls go on and it gets its own outcome.
func TestFastMethod(t *testing.T) {
	const long = 300_000
	for name, test := range map[string]struct {
		act    func(ctx context.Context, release <-chan bool) call.Reply
		status codegen.Status
		size   int  // of the answer
		cancel bool // the caller gives up
	}{
		"waits": {act: func(_ context.Context, release <-chan bool) call.Reply {
			<-release
			return call.Reply{}
		}},
		"is given up": {cancel: true, act: func(ctx context.Context, _ <-chan bool) call.Reply {
			<-ctx.Done()
			return call.Reply{}
		}},
		"panics": {status: codegen.StatusPanic, size: len("oh"), act: func(context.Context, <-chan bool) call.Reply {
			panic("oh")
		}},
		"ends its goroutine": {status: codegen.StatusPanic, size: len("the handler ended its goroutine"),
			act: func(context.Context, <-chan bool) call.Reply {
				runtime.Goexit()
				return call.Reply{}
			}},
		"waits and ends its goroutine": {status: codegen.StatusPanic, size: len("the handler ended its goroutine"),
			act: func(_ context.Context, release <-chan bool) call.Reply {
				<-release
				runtime.Goexit()
				return call.Reply{}
			}},
		"answers at length": {size: long, act: func(context.Context, <-chan bool) call.Reply {
			return call.Reply{Body: make([]byte, long)}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := memnet.New()
				release := make(chan bool)
				here := false // the last call ran on the goroutine that reads
				calltest.ServeMem(t, n, "a", call.ServerOptions{Lookup: calltest.Handlers{
					1: func(ctx context.Context, in *call.Incoming) call.Reply {
						here = bytes.Contains(debug.Stack(), []byte("executeHere"))
						if len(in.Args) > 0 {
							return test.act(ctx, release)
						}
						return call.Reply{}
					},
					2: calltest.Echo,
				}.Lookup})
				p := memPool(t, n, balance.PoolOptions{}, "a")

				for range 3 { // it can prove fast again
					for range 50 {
						calltest.MustCall(t, p, &call.Request{Method: codegen.Key{1}})
					}
					if !here {
						t.Fatal("a fast method has a goroutine of its own")
					}

					ctx, cancel := context.WithCancel(t.Context())
					ended := make(chan bool)
					go func() {
						defer close(ended)
						reply, err := p.Call(ctx, &call.Request{Method: codegen.Key{1}, Args: []byte{1}})
						if (err != nil) != test.cancel || reply.Status != test.status || len(reply.Body) != test.size {
							t.Errorf("%v, %d bytes, %v", reply.Status, len(reply.Body), err)
						}
					}()
					synctest.Wait()
					began := time.Now()
					if got := calltest.MustCall(t, p, &call.Request{Method: codegen.Key{2}, Args: []byte("others")}); string(got) != "others" {
						t.Errorf("another call is answered %q", got)
					}
					if took := time.Since(began); took > time.Millisecond {
						t.Errorf("another call took %v", took)
					}
					if test.cancel {
						cancel()
					}
					select {
					case release <- true:
					case <-ended:
					}
					<-ended
					cancel()
				}
			})
		})
	}
}

// TestManyAnswers: answers of fast methods that arrive together go out together, and all of them do.
func TestManyAnswers(t *testing.T) {
	h := calltest.ServeUnix(t, call.ServerOptions{Lookup: calltest.Handlers{1: calltest.Echo}.Lookup})
	p := newPool(t, balance.PoolOptions{}, h)
	ended := make(chan int)
	const callers, calls = 100, 100
	for i := range callers {
		go func() {
			right := 0
			for j := range calls {
				args := []byte{byte(i), byte(j)}
				reply, err := p.Call(t.Context(), &call.Request{Method: codegen.Key{1}, Args: args})
				if err == nil && bytes.Equal(reply.Body, args) {
					right++
				}
			}
			ended <- right
		}()
	}
	for range callers {
		if right := <-ended; right != calls {
			t.Errorf("%d of %d answers are right", right, calls)
		}
	}
}
