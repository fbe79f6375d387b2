package call_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"math"
	"net"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/divisi-go/divisi/codegen"
	"github.com/divisi-go/divisi/internal/call"
	"github.com/divisi-go/divisi/internal/call/balance"
	"github.com/divisi-go/divisi/internal/call/calltest"
	"github.com/divisi-go/divisi/internal/call/link"
	"github.com/divisi-go/divisi/internal/call/memnet"
	"github.com/divisi-go/divisi/internal/wire"
)

func frameOf(h wire.Header, parts ...[]byte) []byte {
	body := bytes.Join(parts, nil)
	h.Length = uint32(len(body))
	return append(h.Append(nil), body...)
}

func request(call uint32, flags wire.Flags, parts ...[]byte) []byte {
	return frameOf(wire.Header{Call: call, Type: wire.TypeRequest, Flags: flags}, parts...)
}

// hostile is what a peer sends after the handshake, or instead of it.
type hostile struct {
	name string
	raw  bool // no handshake
	send []byte
	drip bool   // a byte at a time
	want string // in the GOAWAY, after which the connection ends
	// What else may happen: the connection ends without a word; it lives, and the answer to
	// call 1 has this status; it lives and is not answered.
	ends   bool
	status codegen.Status
	silent bool
}

func hostiles() []hostile {
	start := func(call uint32, total int) []byte {
		return request(call, wire.FlagMore, wire.AppendTotal(nil, total), []byte{0})
	}
	bind := wire.AppendBind(nil, 0, codegen.Key{1})
	many := bytes.Buffer{}
	for i := range uint32(900) {
		many.Write(start(i+1, 100<<20))
	}
	flood := append([]byte(nil), wire.AppendBind(nil, 0, codegen.Key{3})...)
	for i := range uint32(100) {
		flood = append(flood, request(i+1, 0)...)
	}
	return []hostile{
		{name: "22 bytes", send: bytes.Repeat([]byte{0xff}, 22), want: "unknown frame type 255"},
		{name: "22 bytes without a handshake", raw: true, send: bytes.Repeat([]byte{0xff}, 22), ends: true},
		{name: "plain HTTP", raw: true, send: []byte("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"), ends: true},
		{name: "nothing", raw: true, silent: true},
		{name: "half a preface", raw: true, send: []byte("DVS1\x01"), silent: true},
		{name: "another version", raw: true, send: wire.AppendPreface(nil, 7, 9), ends: true},
		{name: "no HELLO", raw: true, send: append(wire.AppendPreface(nil, 1, 1), bind...), ends: true},
		{name: "a long HELLO", raw: true, ends: true,
			send: append(wire.AppendPreface(nil, 1, 1), wire.Header{Type: wire.TypeHello, Length: 1 << 20}.Append(nil)...)},
		{name: "4 GiB frame", send: wire.Header{Length: 1<<32 - 1, Call: 1, Type: wire.TypeRequest}.Append(nil), want: "4294967295 bytes"},
		{name: "the longest message", send: start(1, math.MaxInt), status: codegen.StatusBadArgs},
		{name: "900 messages of 100 MiB", send: many.Bytes(), silent: true},
		{name: "slow reader", send: flood, silent: true},
		{name: "a byte at a time", send: append(bytes.Clone(bind), request(1, 0, make([]byte, 2000))...), drip: true},
		{name: "bind twice", send: append(bytes.Clone(bind), bind...), want: "method 0 is bound twice"},
		{name: "second HELLO", send: hello(), want: "HELLO twice"},
		{name: "continuation of nothing", send: request(1, wire.FlagCont), want: "was not started"},
		{name: "begun twice", send: append(start(1, 100), start(1, 100)...), want: "begun twice"},
		{name: "longer than it said", send: append(start(1, 5), request(1, wire.FlagCont, make([]byte, 5))...), want: "REQUEST of 5 bytes has at least 6"},
		{name: "shorter than it said", send: append(start(1, 5), request(1, wire.FlagCont)...), want: "REQUEST of 5 bytes ends after 1"},
		{name: "credit overflow", send: append(wire.AppendCredit(nil, 0, 1<<32-1), wire.AppendCredit(nil, 0, 1)...), want: "more credit than"},
		{name: "a response", send: frameOf(wire.Header{Call: 1, Type: wire.TypeResponse}), want: "RESPONSE from a caller"},
		{name: "an element", send: frameOf(wire.Header{Call: 1, Type: wire.TypeData}), want: "DATA from a caller"},
		{name: "compressed", send: request(1, wire.FlagCompressed), want: "compressed"},
		{name: "method not bound", send: request(1, 0), status: codegen.StatusUnimplemented},
		{name: "bad metadata", send: append(bytes.Clone(bind), request(1, wire.FlagMeta, []byte{9, 0})...), status: codegen.StatusBadArgs},
		{name: "late frames", send: append(append(wire.AppendCancel(nil, 77), wire.AppendCredit(nil, 77, 5)...), append(bind, request(1, 0)...)...)},
	}
}

// hello is a HELLO as a caller sends it, with bounds that are possible.
func hello() []byte {
	return wire.Hello{
		MaxMessage: wire.DefaultMaxMessage, MaxInFlight: wire.DefaultMaxInFlight,
		Window: wire.DefaultWindow, CallWindow: wire.DefaultCallWindow,
	}.Append(nil)
}

// TestHostilePeers: each of them costs its own connection at most, while calls on another one
// go on; all of them together cost one line in the log and little memory.
func TestHostilePeers(t *testing.T) {
	t.Run("tcp", func(t *testing.T) {
		testHostilePeers(t, nil, func(o call.ServerOptions) *calltest.Host {
			l, err := link.Listen("tcp://127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			return calltest.Serve(t, l, o)
		})
	})
	t.Run("mtls", func(t *testing.T) {
		a := calltest.NewAuthority(t)
		testHostilePeers(t, a.Config("alice"), a.Serve)
	})
}

// testHostilePeers has those that do a handshake do that of TLS first, unless config is nil.
func testHostilePeers(t *testing.T, config *tls.Config, serve func(call.ServerOptions) *calltest.Host) {
	var log calltest.Log
	h := serve(call.ServerOptions{Logger: log.Logger(), Lookup: calltest.Handlers{
		1: calltest.Echo, 3: func(context.Context, *call.Incoming) call.Reply { return call.Reply{Body: make([]byte, 60_000)} },
	}.Lookup})
	p := newPool(t, balance.PoolOptions{TLS: config}, h)
	calltest.MustCall(t, p, &call.Request{Method: codegen.Key{1}})
	before := heap()
	var held []net.Conn
	for _, c := range hostiles() {
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for range 250 {
					reply, err := p.Call(t.Context(), &call.Request{Method: codegen.Key{1}, Args: []byte("x")})
					if err != nil || string(reply.Body) != "x" {
						t.Errorf("%s disturbs others: %v, %v", c.name, reply.Status, err)
						return
					}
				}
			})
		}
		nc, err := net.Dial("tcp", h.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		if config != nil && !c.raw {
			hostile := config.Clone()
			hostile.ServerName = "localhost"
			nc = tls.Client(nc, hostile)
		}
		defer nc.Close()
		if err := c.attack(nc); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if c.silent {
			held = append(held, nc)
		} else {
			nc.Close()
		}
		wg.Wait()
	}
	grown := int64(heap()) - int64(before)
	if grown > 8<<20 {
		t.Errorf("the heap has grown by %d bytes", grown)
	}
	if n := p.Stats().Retries; n > 0 {
		t.Errorf("%d calls had to be made again", n)
	}
	for _, nc := range held {
		nc.Close()
	}
	calltest.Eventually(t, "only the pool is connected", func() bool { return h.Stats().Connections == 1 })
	if text := log.String(); strings.Count(text, "\n") != 1 {
		t.Errorf("log: %s", text)
	}
}

// attack does what the case says, and checks what comes of it.
func (c *hostile) attack(nc net.Conn) error {
	nc.SetDeadline(time.Now().Add(20 * time.Second))
	o := link.Options{}.WithDefaults()
	if !c.raw {
		if _, err := link.Greet(nc, &o); err != nil {
			return err
		}
	}
	step := len(c.send)
	if c.drip {
		step = 1
	}
	for b := c.send; len(b) > 0; b = b[min(step, len(b)):] {
		if _, err := nc.Write(b[:min(step, len(b))]); err != nil && c.want == "" && !c.ends {
			return err
		}
	}
	if c.silent {
		return nil
	}
	r := wire.NewReader(nc)
	for {
		f, err := r.Next()
		switch {
		case c.raw || c.ends:
			// The acceptor's own handshake may come first, and is no frame.
			if _, err = io.Copy(io.Discard, nc); err != nil && !isReset(err) {
				return err
			}
			return nil
		case err != nil && c.want != "":
			return errors.New("the connection ends without a GOAWAY")
		case err != nil:
			return err
		case f.Type == wire.TypeGoAway:
			if g := wire.ParseGoAway(f); c.want == "" || g.Reason != wire.ReasonViolation || !strings.Contains(g.Text, c.want) {
				return errors.New("GOAWAY: " + g.Text)
			}
			if _, err := r.Next(); err == nil {
				return errors.New("the connection lives on")
			}
			return nil
		case f.Type == wire.TypeResponse && c.want == "":
			if f.Call != 1 || codegen.Status(f.Code) != c.status {
				return errors.New("the answer is " + codegen.Status(f.Code).String())
			}
			return ping(nc, r)
		}
	}
}

// ping checks that the connection lives.
func ping(nc net.Conn, r *wire.Reader) error {
	if _, err := nc.Write(wire.AppendPing(nil, wire.TypePing, [8]byte{7})); err != nil {
		return err
	}
	for {
		f, err := r.Next()
		if err != nil || f.Type == wire.TypePong && f.Body[0] == 7 {
			return err
		}
	}
}

func isReset(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && !op.Timeout()
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestHostileServer: what a server breaks ends its connection and the calls on it, and nothing
// else.
func TestHostileServer(t *testing.T) {
	const id = 1 // of the first call of a connection
	response := func(flags wire.Flags, parts ...[]byte) []byte {
		return frameOf(wire.Header{Call: id, Type: wire.TypeResponse, Flags: flags}, parts...)
	}
	chunk := make([]byte, wire.MaxChunk)
	flood := []byte(nil)
	for range 10 {
		flood = append(flood, frameOf(wire.Header{Call: id, Type: wire.TypeData}, chunk)...)
	}
	for _, c := range []struct {
		name   string
		send   []byte
		stream bool
		want   string // in the error; "" if the call is answered
		status codegen.Status
	}{
		{name: "garbage", send: bytes.Repeat([]byte{0xff}, 22), want: "unknown frame type 255"},
		{name: "a request", send: request(id, 0), want: "REQUEST from a server"},
		{name: "a bind", send: wire.AppendBind(nil, 0, codegen.Key{1}), want: "BIND from a server"},
		{name: "continuation of nothing", send: response(wire.FlagCont), want: "was not started"},
		{name: "stream overrun", send: flood, stream: true, want: "more data than the"},
		{name: "credit overflow", send: append(wire.AppendCredit(nil, id, 1<<32-1), wire.AppendCredit(nil, id, 1)...), want: "more credit than"},
		{name: "goes away", send: wire.GoAway{Reason: wire.ReasonViolation, Text: "you again"}.Append(nil), want: "you again"},
		{name: "hangs up", send: nil, want: "hung up"},
		{name: "the longest answer", send: response(wire.FlagMore, wire.AppendTotal(nil, math.MaxInt)), status: codegen.StatusBadArgs},
		{name: "a stream for a call", send: frameOf(wire.Header{Call: id, Type: wire.TypeData}), status: codegen.StatusBadArgs},
		{name: "answers to others", send: append(frameOf(wire.Header{Call: 1<<link.CallBits | id, Type: wire.TypeResponse}), response(0)...)},
		{name: "unfinished element", stream: true,
			send: append(frameOf(wire.Header{Call: id, Type: wire.TypeData, Flags: wire.FlagMore}, wire.AppendTotal(nil, 100)), response(0)...)},
	} {
		near, far := memnet.Pipe(4<<20, "client", "server")
		o := link.Options{}.WithDefaults()
		go func() {
			if _, err := link.Welcome(far, &o); err != nil {
				t.Error(err)
			}
			r := wire.NewReader(far)
			for f, err := r.Next(); err == nil; f, err = r.Next() {
				if f.Type == wire.TypeRequest {
					far.Write(c.send)
					if c.send == nil {
						far.Close()
					}
				}
			}
		}()
		p := balance.NewPool(balance.PoolOptions{Dial: func(context.Context, string) (net.Conn, error) { return near, nil }})
		p.SetReplicas([]string{"server"})
		var reply call.Reply
		var err error
		if c.stream {
			var s *balance.Stream
			if s, err = p.Stream(t.Context(), &call.Request{}); err == nil {
				if c.want != "" {
					calltest.Eventually(t, "the connection ends", func() bool { return p.Stats().Connections == 0 })
				}
				for err == nil {
					_, err = s.Recv()
				}
			}
			if err == io.EOF && c.want == "" {
				err = nil
			}
		} else {
			reply, err = p.Call(t.Context(), &call.Request{})
		}
		var e *call.Error
		switch {
		case c.want == "":
			if err != nil || reply.Status != c.status || p.Stats().Connections != 1 {
				t.Errorf("%s: %v, %v", c.name, reply.Status, err)
			}
		case !errors.As(err, &e) || !e.Executed || !strings.Contains(err.Error(), c.want):
			t.Errorf("%s: %v, %v", c.name, reply.Status, err)
		}
		p.Close()
		far.Close()
	}
}

// TestManyStrangers cannot keep others out: the connections that have said nothing make room, the
// oldest first, and then those that have not said who they are.
func TestManyStrangers(t *testing.T) {
	l, err := link.Listen("tcp://127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	const most = 3
	h := calltest.Serve(t, l, call.ServerOptions{MaxHandshakes: most, Lookup: calltest.Handlers{1: calltest.Echo}.Lookup})
	var strangers []net.Conn
	arrive := func(says string) {
		t.Helper()
		nc, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { nc.Close() })
		nc.SetReadDeadline(time.Now().Add(10 * time.Second))
		if _, err := nc.Write([]byte(says)); err != nil {
			t.Fatal(err)
		}
		strangers = append(strangers, nc)
		calltest.Eventually(t, "it has arrived", func() bool {
			n, last, heard := h.Arrivals()
			return n == min(len(strangers), most) && heard == (says != "") && last.String() == nc.LocalAddr().String()
		})
	}
	gone := func(i int) {
		t.Helper()
		if _, err := strangers[i].Read(make([]byte, 1)); err != io.EOF && !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("connection %d is kept: %v", i, err)
		}
	}

	begun := string(wire.AppendPreface(nil, wire.Version, wire.Version)[:2])
	for _, says := range []string{begun, "", begun, "", begun} {
		arrive(says)
	}
	gone(1)
	gone(3)
	for range 100 {
		p := newPool(t, balance.PoolOptions{}, h)
		calltest.MustCall(t, p, &call.Request{Method: codegen.Key{1}})
		p.Close()
	}
	gone(0)
	if n := h.Stats().Refused; n < 3 {
		t.Errorf("%d refusals, want at least 3", n)
	}
}
