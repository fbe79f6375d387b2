package call

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/divisi-go/divisi/codegen"
)

// count streams as many elements as the first byte of its arguments says, each of as many
// bytes as the rest is long, and ends with OK.
func count(_ context.Context, in *Incoming) Reply {
	for i := range in.Args[0] {
		elem := bytes.Clone(in.Args[1:])
		if len(elem) > 0 {
			elem[0] = i
		}
		if err := in.Send(elem); err != nil {
			return Reply{Status: codegen.StatusCancelled}
		}
	}
	return Reply{}
}

// flood streams 1 KB elements until the caller has gone, which it reports.
func flood(gone chan<- error) Handler {
	return func(ctx context.Context, in *Incoming) Reply {
		for elem := make([]byte, 1<<10); ; {
			if err := in.Send(elem); err != nil {
				gone <- err
				return Reply{Status: codegen.StatusCancelled}
			}
		}
	}
}

func TestStream(t *testing.T) {
	h := serveUnix(t, ServerOptions{Lookup: handlers{1: echo, 2: count}.lookup})
	p := newPool(t, PoolOptions{}, h)
	for _, size := range []int{0, 1, 1000, 64 << 10, 64<<10 + 1, 300_000, 3_000_000} {
		n := byte(100)
		if size > 100_000 {
			n = 5
		}
		args := append([]byte{n}, make([]byte, size)...)
		s, err := p.Stream(t.Context(), &Request{Method: codegen.Key{2}, Args: args})
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
	h := serveUnix(t, ServerOptions{Lookup: handlers{
		1: func(_ context.Context, in *Incoming) Reply {
			in.Send([]byte("last"))
			return Reply{codegen.StatusAppError, []byte("tree")}
		},
		2: func(_ context.Context, in *Incoming) Reply {
			in.Send([]byte("last"))
			panic("boom")
		},
		3: count,
	}.lookup})
	p := newPool(t, PoolOptions{}, h)
	for key, want := range map[byte]codegen.StatusError{
		1: {Status: codegen.StatusAppError, Text: "tree"}, 2: {Status: codegen.StatusPanic, Text: "boom"},
	} {
		s, err := p.Stream(t.Context(), &Request{Method: codegen.Key{key}})
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
	reply, err := p.Call(t.Context(), &Request{Method: codegen.Key{3}, Args: []byte{5, 1}})
	if reply.Status != codegen.StatusBadArgs || !strings.Contains(string(reply.Body), "stream") || err != nil {
		t.Errorf("a plain call of a streaming method: %v %q, %v", reply.Status, reply.Body, err)
	}
}

// TestUnreadStreams leaves more streams unread than the connection's window could hold: they
// stall nobody, and each holds no more than its window.
func TestUnreadStreams(t *testing.T) {
	const streams = 40
	gone := make(chan error, streams)
	h := serveUnix(t, ServerOptions{Lookup: handlers{1: echo, 2: count, 3: flood(gone)}.lookup})
	p := newPool(t, PoolOptions{}, h)
	var unread []*Stream
	for range streams {
		s, err := p.Stream(t.Context(), &Request{Method: codegen.Key{3}})
		if err != nil {
			t.Fatal(err)
		}
		unread = append(unread, s)
	}
	window := p.o.Conn.CallWindow
	held := func(s *Stream) (n int) {
		s.cur.mu.Lock()
		defer s.cur.mu.Unlock()
		for _, e := range s.cur.queue {
			n += int(e.cost)
		}
		return n
	}
	eventually(t, "every stream is full", func() bool {
		for _, s := range unread {
			if held(s) < window-2<<10 {
				return false
			}
		}
		return true
	})
	for range 100 {
		mustCall(t, p, &Request{Method: codegen.Key{1}, Args: make([]byte, 1000)})
	}
	mustCall(t, p, &Request{Method: codegen.Key{1}, Args: make([]byte, 5<<20)})
	s, err := p.Stream(t.Context(), &Request{Method: codegen.Key{2}, Args: make([]byte, 100_000)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Recv(); err != io.EOF {
		t.Error(err)
	}
	for _, s := range unread {
		if n := held(s); n > window {
			t.Errorf("an unread stream holds %d bytes", n)
		}
		if b, err := s.Recv(); len(b) != 1<<10 || err != nil {
			t.Errorf("%d bytes, %v", len(b), err)
		}
		s.Close()
		if err := <-gone; err == nil {
			t.Error("the server does not learn that the caller has gone")
		}
		if _, err := s.Recv(); err != ErrClosed {
			t.Errorf("after Close: %v", err)
		}
	}
	if st := p.Stats(); st.InFlight != 0 || st.Connections != 1 {
		t.Errorf("stats %+v", st)
	}
}

// TestUnreadElement sends elements longer than the window to a consumer that does not read.
func TestUnreadElement(t *testing.T) {
	h := serveUnix(t, ServerOptions{Lookup: handlers{1: echo, 2: count}.lookup})
	p := newPool(t, PoolOptions{}, h)
	s, err := p.Stream(t.Context(), &Request{Method: codegen.Key{2}, Args: append([]byte{3}, make([]byte, 2<<20)...)})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	eventually(t, "the window is full", func() bool {
		s.cur.mu.Lock()
		defer s.cur.mu.Unlock()
		return s.cur.rx.left < 64<<10
	})
	mustCall(t, p, &Request{Method: codegen.Key{1}, Args: make([]byte, 1<<20)})
	for range 3 {
		if b, err := s.Recv(); len(b) != 2<<20 || err != nil {
			t.Fatalf("%d bytes, %v", len(b), err)
		}
	}
	if _, err := s.Recv(); err != io.EOF {
		t.Error(err)
	}
}

func TestStreamCancel(t *testing.T) {
	gone := make(chan error, 1)
	h := serveUnix(t, ServerOptions{Lookup: handlers{3: flood(gone), 4: func(ctx context.Context, in *Incoming) Reply {
		<-ctx.Done()
		gone <- ctx.Err()
		return Reply{}
	}}.lookup})
	p := newPool(t, PoolOptions{}, h)
	for _, key := range []byte{3, 4} {
		// The context ends while nobody receives.
		ctx, cancel := context.WithCancel(t.Context())
		s, err := p.Stream(ctx, &Request{Method: codegen.Key{key}})
		if err != nil {
			t.Fatal(err)
		}
		eventually(t, "the call runs", func() bool { return h.Stats().InFlight == 1 })
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
		if s, err = p.Stream(ctx, &Request{Method: codegen.Key{key}}); err != nil {
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
	eventually(t, "nothing is in flight", func() bool { return p.Stats().InFlight == 0 && h.Stats().InFlight == 0 })
}

// TestStreamsAtOnce runs streams of all sizes and calls on one connection.
func TestStreamsAtOnce(t *testing.T) {
	h := serveUnix(t, ServerOptions{Lookup: handlers{1: echo, 2: count}.lookup})
	p := newPool(t, PoolOptions{}, h)
	var wg sync.WaitGroup
	for i := range 40 {
		wg.Go(func() {
			size := 1 << (i % 20)
			s, err := p.Stream(t.Context(), &Request{Method: codegen.Key{2}, Args: append([]byte{20}, make([]byte, size)...)})
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
					mustCall(t, p, &Request{Method: codegen.Key{1}, Args: b})
				}
			}
		})
	}
	wg.Wait()
}

func TestStreamRetry(t *testing.T) {
	busy := serveUnix(t, ServerOptions{Lookup: handlers{2: count}.lookup, MaxInFlight: -1})
	good := serveUnix(t, ServerOptions{Lookup: handlers{1: echo, 2: count}.lookup})
	p := newPool(t, PoolOptions{}, busy, good)
	warm(t, p, 2)
	retries := p.Stats().Retries
	for i := 0; i < 8 || i < 200 && p.Stats().Retries == retries; i++ {
		p.mu.Lock()
		for _, r := range p.replicas {
			r.avoid = time.Time{}
		}
		p.mu.Unlock()
		s, err := p.Stream(t.Context(), &Request{Method: codegen.Key{2}, Args: []byte{3, 'x'}})
		if err != nil {
			t.Fatal(err)
		}
		for i := range 3 {
			if b, err := s.Recv(); err != nil || b[0] != byte(i) {
				t.Fatalf("%x, %v", b, err)
			}
		}
		if _, err := s.Recv(); err != io.EOF {
			t.Fatal(err)
		}
	}
	if busy.Stats().Errors == 0 || p.Stats().Retries == retries || p.Stats().Errors != 0 {
		t.Errorf("stats %+v, %+v", p.Stats(), busy.Stats())
	}
	// A stream of which something has come is not made again.
	gone := make(chan error, 1)
	cut := serveUnix(t, ServerOptions{Lookup: handlers{2: flood(gone)}.lookup})
	p = newPool(t, PoolOptions{}, cut)
	s, err := p.Stream(t.Context(), &Request{Method: codegen.Key{2}, Idempotent: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Recv(); err != nil {
		t.Fatal(err)
	}
	cut.stop()
	for err == nil {
		_, err = s.Recv()
	}
	var e *Error
	if !errors.As(err, &e) || !e.Executed || e.Addr != cut.addr {
		t.Errorf("Recv: %v", err)
	}
	<-gone
}
