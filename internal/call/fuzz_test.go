package call_test

import (
	"bytes"
	"context"
	"io"
	"runtime"
	"testing"

	"github.com/divisi-go/divisi/codegen"
	"github.com/divisi-go/divisi/internal/call"
	"github.com/divisi-go/divisi/internal/call/calltest"
	"github.com/divisi-go/divisi/internal/call/link"
	"github.com/divisi-go/divisi/internal/call/memnet"
	"github.com/divisi-go/divisi/internal/wire"
)

// FuzzSession lets a server read anything after the handshake. Whatever comes, it must end by
// itself once the connection does, and what it says must be frames.
func FuzzSession(f *testing.F) {
	for _, c := range hostiles() {
		if !c.raw && len(c.send) < 1<<10 {
			f.Add(c.send)
		}
	}
	f.Add(append(wire.AppendBind(nil, 0, codegen.Key{1}), request(1, 0, []byte("hello"))...))
	f.Add(append(wire.AppendBind(nil, 0, codegen.Key{2}), request(1, 0, []byte{3, 0, 0})...))
	f.Fuzz(func(t *testing.T, data []byte) {
		s := call.NewServer(call.ServerOptions{Conn: link.Options{MaxMessage: 1 << 20}, Lookup: calltest.Handlers{1: calltest.Echo, 2: func(ctx context.Context, in *call.Incoming) call.Reply {
			if len(in.Args) == 0 {
				panic("nothing to count")
			}
			return calltest.Count(ctx, in)
		}}.Lookup})
		near, far := memnet.Pipe(64<<10, "a", "b")
		ended := make(chan bool)
		go func() {
			defer close(ended)
			s.ServeConn(context.Background(), far)
		}()
		o := link.Options{}.WithDefaults()
		if _, err := link.Greet(near, &o); err != nil {
			t.Fatal(err)
		}
		written := make(chan bool)
		go func() {
			defer close(written)
			near.Write(data)
			near.CloseWrite()
		}()
		r := wire.NewReader(near)
		for {
			if _, err := r.Next(); err == io.EOF || err == io.ErrUnexpectedEOF && len(data) > 0 {
				break
			} else if err != nil {
				t.Fatalf("the server sends what is no frame: %v", err)
			}
		}
		near.Close()
		<-ended
		<-written
	})
}

// FuzzClient lets a client read anything while a call and a stream wait for their answers.
func FuzzClient(f *testing.F) {
	answer := frameOf(wire.Header{Call: 1, Type: wire.TypeResponse}, []byte("hello"))
	elem := frameOf(wire.Header{Call: 2, Type: wire.TypeData}, []byte("element"))
	f.Add(answer)
	f.Add(bytes.Join([][]byte{elem, elem, answer, frameOf(wire.Header{Call: 2, Type: wire.TypeResponse})}, nil))
	f.Add(append(frameOf(wire.Header{Call: 2, Type: wire.TypeData, Flags: wire.FlagMore}, wire.AppendTotal(nil, 9), []byte("123")),
		frameOf(wire.Header{Call: 2, Type: wire.TypeData, Flags: wire.FlagCont}, []byte("456789"))...))
	f.Add(wire.GoAway{Text: "drain"}.Append(nil))
	f.Add(wire.AppendCredit(nil, 1, 5))
	f.Fuzz(func(t *testing.T, data []byte) {
		near, far := memnet.Pipe(64<<10, "a", "b")
		o := link.Options{MaxMessage: 1 << 20}.WithDefaults()
		heard := make(chan bool)
		go func() {
			defer close(heard)
			if _, err := link.Welcome(far, &o); err != nil {
				t.Error(err)
			}
			io.Copy(io.Discard, far)
		}()
		c, err := call.NewClient(context.Background(), near, "b", &o)
		if err != nil {
			t.Fatal(err)
		}
		called := make(chan bool)
		go func() {
			defer close(called)
			c.Call(context.Background(), &call.Request{Args: make([]byte, 100)})
		}()
		for c.Pending() == 0 { // the call has the number 1, the stream 2
			runtime.Gosched()
		}
		stream, err := c.Stream(context.Background(), &call.Request{Args: make([]byte, 100)})
		if err != nil {
			t.Fatal(err)
		}
		written := make(chan bool)
		go func() {
			defer close(written)
			far.Write(data)
			far.CloseWrite()
		}()
		c.Run()
		for err == nil {
			_, err = stream.Next(context.Background())
		}
		stream.Outcome()
		<-called
		far.Close()
		<-heard
		<-written
	})
}
