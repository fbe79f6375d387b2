package call_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/divisi-go/divisi/codegen"
	"github.com/divisi-go/divisi/internal/call"
	"github.com/divisi-go/divisi/internal/call/balance"
	"github.com/divisi-go/divisi/internal/call/calltest"
)

func TestStream(t *testing.T) {
	h := calltest.ServeUnix(t, call.ServerOptions{Lookup: calltest.Handlers{1: calltest.Echo, 2: calltest.Count}.Lookup})
	p := newPool(t, balance.PoolOptions{}, h)
	for _, size := range []int{0, 1, 1000, 64 << 10, 64<<10 + 1, 300_000, 3_000_000} {
		n := byte(100)
		if size > 100_000 {
			n = 5
		}
		args := append([]byte{n}, make([]byte, size)...)
		s, err := p.Stream(t.Context(), &call.Request{Method: codegen.Key{2}, Args: args})
		if err != nil {
			t.Fatal(err)
		}
		clear(args) // ours again
		for i := range n {
			b, err := s.Recv()
			if err != nil || len(b) != size || size > 0 && b[0] != i {
				t.Fatalf("element %d of %d bytes: %d bytes, %v", i, size, len(b), err)
			}
		}
		for range 2 {
			if b, err := s.Recv(); b != nil || err != io.EOF {
				t.Fatalf("at the end: %d bytes, %v", len(b), err)
			}
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	if st := p.Stats(); st.InFlight != 0 || st.Errors != 0 || st.Calls != 7 {
		t.Errorf("stats %+v", st)
	}
}

func TestStreamEnds(t *testing.T) {
	h := calltest.ServeUnix(t, call.ServerOptions{Lookup: calltest.Handlers{
		1: func(_ context.Context, in *call.Incoming) call.Reply {
			in.Send([]byte("last"))
			return call.Reply{Status: codegen.StatusAppError, Body: []byte("tree")}
		},
		2: func(_ context.Context, in *call.Incoming) call.Reply {
			in.Send([]byte("last"))
			panic("boom")
		},
		3: calltest.Count,
	}.Lookup})
	p := newPool(t, balance.PoolOptions{}, h)
	for key, want := range map[byte]codegen.StatusError{
		1: {Status: codegen.StatusAppError, Text: "tree"}, 2: {Status: codegen.StatusPanic, Text: "boom"},
	} {
		s, err := p.Stream(t.Context(), &call.Request{Method: codegen.Key{key}})
		if err != nil {
			t.Fatal(err)
		}
		if b, err := s.Recv(); string(b) != "last" || err != nil {
			t.Fatalf("%q, %v", b, err)
		}
		var e *codegen.StatusError
		if _, err := s.Recv(); !errors.As(err, &e) || e.Status != want.Status || e.Text != want.Text {
			t.Errorf("%v, want %v", err, &want)
		}
	}
	reply, err := p.Call(t.Context(), &call.Request{Method: codegen.Key{3}, Args: []byte{5, 1}})
	if reply.Status != codegen.StatusBadArgs || !strings.Contains(string(reply.Body), "stream") || err != nil {
		t.Errorf("a plain call of a streaming method: %v %q, %v", reply.Status, reply.Body, err)
	}
}

// TestUnreadStreams leaves more streams unread than the connection's window could hold: they
// stall nobody, and each holds no more than its window.
func TestUnreadStreams(t *testing.T) {
	const streams = 40
	gone := make(chan error, streams)
	h := calltest.ServeUnix(t, call.ServerOptions{Lookup: calltest.Handlers{1: calltest.Echo, 2: calltest.Count, 3: calltest.Flood(gone)}.Lookup})
	c := dial(t, h)
	var unread []*call.Feed
	for range streams {
		f, err := c.Stream(t.Context(), &call.Request{Method: codegen.Key{3}})
		if err != nil {
			t.Fatal(err)
		}
		unread = append(unread, f)
	}
	window := c.Options().CallWindow
	calltest.Eventually(t, "every stream is full", func() bool {
		for _, f := range unread {
			if f.Held() < window-2<<10 {
				return false
			}
		}
		return true
	})
	for range 100 {
		calltest.MustCall(t, c, &call.Request{Method: codegen.Key{1}, Args: make([]byte, 1000)})
	}
	calltest.MustCall(t, c, &call.Request{Method: codegen.Key{1}, Args: make([]byte, 5<<20)})
	f, err := c.Stream(t.Context(), &call.Request{Method: codegen.Key{2}, Args: make([]byte, 100_000)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Next(t.Context()); err != call.ErrFeedEnded {
		t.Error(err)
	}
	if reply, err := f.Outcome(); reply.Status != codegen.StatusOK || err != nil {
		t.Errorf("%v, %v", reply.Status, err)
	}
	for _, f := range unread {
		if n := f.Held(); n > window {
			t.Errorf("an unread stream holds %d bytes", n)
		}
		if b, err := f.Next(t.Context()); len(b) != 1<<10 || err != nil {
			t.Errorf("%d bytes, %v", len(b), err)
		}
		f.Abandon()
		if err := <-gone; err == nil {
			t.Error("the server does not learn that the caller has gone")
		}
	}
	if h.Stats().Connections != 1 || c.Cause() != nil || c.Pending() != 0 {
		t.Errorf("%d calls are in flight, the connection: %v", c.Pending(), c.Cause())
	}
}

// TestUnreadElement sends elements longer than the window to a consumer that does not read.
func TestUnreadElement(t *testing.T) {
	h := calltest.ServeUnix(t, call.ServerOptions{Lookup: calltest.Handlers{1: calltest.Echo, 2: calltest.Count}.Lookup})
	c := dial(t, h)
	f, err := c.Stream(t.Context(), &call.Request{Method: codegen.Key{2}, Args: append([]byte{3}, make([]byte, 2<<20)...)})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Abandon()
	calltest.Eventually(t, "the window is full", func() bool { return f.Credit() < 64<<10 })
	calltest.MustCall(t, c, &call.Request{Method: codegen.Key{1}, Args: make([]byte, 1<<20)})
	for range 3 {
		if b, err := f.Next(t.Context()); len(b) != 2<<20 || err != nil {
			t.Fatalf("%d bytes, %v", len(b), err)
		}
	}
	if _, err := f.Next(t.Context()); err != call.ErrFeedEnded {
		t.Error(err)
	}
}

func TestStreamCancel(t *testing.T) {
	gone := make(chan error, 1)
	h := calltest.ServeUnix(t, call.ServerOptions{Lookup: calltest.Handlers{3: calltest.Flood(gone), 4: func(ctx context.Context, in *call.Incoming) call.Reply {
		<-ctx.Done()
		gone <- ctx.Err()
		return call.Reply{}
	}}.Lookup})
	p := newPool(t, balance.PoolOptions{}, h)
	for _, key := range []byte{3, 4} {
		// The context ends while nobody receives.
		ctx, cancel := context.WithCancel(t.Context())
		s, err := p.Stream(ctx, &call.Request{Method: codegen.Key{key}})
		if err != nil {
			t.Fatal(err)
		}
		calltest.Eventually(t, "the call runs", func() bool { return h.Stats().InFlight == 1 })
		cancel()
		if err := <-gone; err == nil {
			t.Error("the server does not learn it")
		}
		for err == nil {
			_, err = s.Recv()
		}
		if !errors.Is(err, context.Canceled) {
			t.Errorf("Recv: %v", err)
		}
		// The context ends while somebody waits.
		ctx, cancel = context.WithTimeout(t.Context(), 20*time.Millisecond)
		if s, err = p.Stream(ctx, &call.Request{Method: codegen.Key{key}}); err != nil {
			t.Fatal(err)
		}
		for err == nil {
			_, err = s.Recv()
		}
		var status *codegen.StatusError
		if !errors.Is(err, context.DeadlineExceeded) && !(errors.As(err, &status) && status.Status == codegen.StatusCancelled) && err != io.EOF {
			t.Errorf("Recv: %v", err)
		}
		<-gone
		cancel()
	}
	calltest.Eventually(t, "nothing is in flight", func() bool { return p.Stats().InFlight == 0 && h.Stats().InFlight == 0 })
}

// TestStreamsAtOnce runs streams of all sizes and calls on one connection.
func TestStreamsAtOnce(t *testing.T) {
	h := calltest.ServeUnix(t, call.ServerOptions{Lookup: calltest.Handlers{1: calltest.Echo, 2: calltest.Count}.Lookup})
	p := newPool(t, balance.PoolOptions{}, h)
	var wg sync.WaitGroup
	for i := range 40 {
		wg.Go(func() {
			size := 1 << (i % 20)
			s, err := p.Stream(t.Context(), &call.Request{Method: codegen.Key{2}, Args: append([]byte{20}, make([]byte, size)...)})
			if err != nil {
				t.Error(err)
				return
			}
			for n := 0; ; n++ {
				b, err := s.Recv()
				if err == io.EOF && n == 20 {
					return
				}
				if err != nil || len(b) != size || b[0] != byte(n) {
					t.Errorf("element %d: %d bytes, %v", n, len(b), err)
					return
				}
				if n%5 == 0 {
					calltest.MustCall(t, p, &call.Request{Method: codegen.Key{1}, Args: b})
				}
			}
		})
	}
	wg.Wait()
}
