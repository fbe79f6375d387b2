package balance

import (
	"errors"
	"io"
	"testing"
	"time"

	"github.com/divisi-go/divisi/codegen"
	"github.com/divisi-go/divisi/internal/call"
	"github.com/divisi-go/divisi/internal/call/calltest"
)

func TestStreamRetry(t *testing.T) {
	busy := calltest.ServeUnix(t, call.ServerOptions{Lookup: calltest.Handlers{2: calltest.Count}.Lookup, MaxInFlight: -1})
	good := calltest.ServeUnix(t, call.ServerOptions{Lookup: calltest.Handlers{1: calltest.Echo, 2: calltest.Count}.Lookup})
	p := newPool(t, PoolOptions{}, busy, good)
	warm(t, p, 2)
	retries := p.Stats().Retries
	for i := 0; i < 8 || i < 200 && p.Stats().Retries == retries; i++ {
		p.mu.Lock()
		for _, r := range p.replicas {
			r.avoid = time.Time{}
		}
		p.mu.Unlock()
		s, err := p.Stream(t.Context(), &call.Request{Method: codegen.Key{2}, Args: []byte{3, 'x'}})
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
	cut := calltest.ServeUnix(t, call.ServerOptions{Lookup: calltest.Handlers{2: calltest.Flood(gone)}.Lookup})
	p = newPool(t, PoolOptions{}, cut)
	s, err := p.Stream(t.Context(), &call.Request{Method: codegen.Key{2}, Idempotent: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Recv(); err != nil {
		t.Fatal(err)
	}
	cut.Stop()
	for err == nil {
		_, err = s.Recv()
	}
	var e *call.Error
	if !errors.As(err, &e) || !e.Executed || e.Addr != cut.Addr {
		t.Errorf("Recv: %v", err)
	}
	<-gone
}

// TestStreamClose: the server learns that nobody reads a stream any more, and who reads on that it
// has been closed.
func TestStreamClose(t *testing.T) {
	gone := make(chan error, 1)
	h := calltest.ServeUnix(t, call.ServerOptions{Lookup: calltest.Handlers{3: calltest.Flood(gone)}.Lookup})
	p := newPool(t, PoolOptions{}, h)
	s, err := p.Stream(t.Context(), &call.Request{Method: codegen.Key{3}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Recv(); err != nil {
		t.Error(err)
	}
	s.Close()
	if err := <-gone; err == nil {
		t.Error("the server does not learn that the caller has gone")
	}
	if _, err := s.Recv(); err != call.ErrClosed {
		t.Errorf("after Close: %v", err)
	}
	if st := p.Stats(); st.InFlight != 0 || st.Connections != 1 {
		t.Errorf("stats %+v", st)
	}
}
