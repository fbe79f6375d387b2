package call

import (
	"bytes"
	"context"
	"io"
	"net"
	"testing"

	"github.com/divisi-go/divisi/codegen"
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
		s := NewServer(ServerOptions{Conn: Options{MaxMessage: 1 << 20}, Lookup: handlers{1: echo, 2: func(ctx context.Context, in *Incoming) Reply {
			if len(in.Args) == 0 {
				panic("nothing to count")
			}
			return count(ctx, in)
		}}.lookup})
		near, far := memPipe(64<<10, "a", "b")
		ended := make(chan bool)
		go func() {
			defer close(ended)
			s.serve(context.Background(), far)
		}()
		o := Options{}.withDefaults()
		if _, err := greet(near, &o); err != nil {
			t.Fatal(err)
		}
		go func() {
			near.Write(data)
			near.out.close()
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
		near, far := memPipe(64<<10, "a", "b")
		o := Options{MaxMessage: 1 << 20}.withDefaults()
		go func() {
			if _, err := welcome(far, &o); err != nil {
				t.Error(err)
			}
			io.Copy(io.Discard, far)
		}()
		c, err := newClient(context.Background(), near, "b", &o)
		if err != nil {
			t.Fatal(err)
		}
		call, stream := &pending{done: make(chan struct{})}, &pending{done: make(chan struct{})}
		stream.feed = newFeed(c, stream)
		for _, p := range []*pending{call, stream} {
			if err := c.send(context.Background(), p, &Request{Args: make([]byte, 100)}); err != nil {
				t.Fatal(err)
			}
		}
		go func() {
			far.Write(data)
			far.out.close()
		}()
		c.run()
		for {
			if _, err := stream.feed.next(context.Background()); err != nil {
				break
			}
		}
		<-call.done
		<-stream.done
		far.Close()
	})
}

// FuzzHandshake lets both ends read anything instead of a handshake.
func FuzzHandshake(f *testing.F) {
	o := Options{}.withDefaults()
	f.Add(o.hello().Append(wire.AppendPreface(nil, 1, 1)))
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, handshake := range []func(net.Conn, *Options) (wire.Hello, error){greet, welcome} {
			near, far := memPipe(64<<10, "a", "b")
			near.Write(data)
			near.Close()
			h, err := handshake(&deafConn{far}, &o)
			if err == nil && (h.Window < wire.MinWindow || h.MaxInFlight == 0) {
				t.Fatalf("%x is accepted as %+v", data, h)
			}
		}
	})
}

// deafConn takes what is written and forgets it.
type deafConn struct{ net.Conn }

func (c *deafConn) Write(b []byte) (int, error) { return len(b), nil }

func FuzzAddr(f *testing.F) {
	for _, s := range []string{"unix:///a", "tcp://h:1", "mtls://tcp://h:1", "://", "mtls://"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		network, address, _, err := splitAddr(s)
		if err == nil && (network != "unix" && network != "tcp" || address == "") {
			t.Fatalf("%q is %q %q", s, network, address)
		}
	})
}
