package call_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/divisi-go/divisi/codegen"
	"github.com/divisi-go/divisi/internal/call"
	"github.com/divisi-go/divisi/internal/call/calltest"
	"github.com/divisi-go/divisi/internal/call/link"
	"github.com/divisi-go/divisi/internal/wire"
)

// narrow accepts connections whose buffers are small.
type narrow struct{ net.Listener }

func (n narrow) Accept() (net.Conn, error) {
	nc, err := n.Listener.Accept()
	if err == nil {
		err = narrowed(nc)
	}
	return nc, err
}

// narrowed makes the buffers of a socket as small as the system allows, or, over TCP, as small as they can be
// without waits of TCP itself, which sends long segments on this machine's own addresses.
func narrowed(nc net.Conn) error {
	socket := nc.(interface {
		SetReadBuffer(int) error
		SetWriteBuffer(int) error
	})
	size := 1
	if _, ok := nc.(*net.TCPConn); ok {
		size = 32 << 10
	}
	return errors.Join(socket.SetReadBuffer(size), socket.SetWriteBuffer(size))
}

// squeeze is a server and callers between which hardly anything fits: in the sockets, in the queues, and in the
// credit.
type squeeze struct {
	host  *call.Server
	dial  func() (net.Conn, error)
	bytes []byte // of which everybody sends some
}

const longestSqueezed = 2 << 20

// squeezed has a PING only when it is too late: what was forgotten would leave with it.
func squeezed(o *link.Options) *link.Options {
	o.Window, o.CallWindow, o.MaxQueue = wire.MinWindow, wire.MinWindow, 96<<10
	o.PingAfter, o.PingIdle = 2*patience, 2*patience
	return o
}

// newSqueeze listens on an address, with TLS if it says so.
func newSqueeze(t *testing.T, addr string) *squeeze {
	l, err := link.Listen(addr)
	if err != nil {
		t.Fatal(err)
	}
	s := &squeeze{bytes: make([]byte, longestSqueezed)}
	for i := range s.bytes {
		s.bytes[i] = byte(i * i >> 8)
	}
	s.dial = func() (net.Conn, error) {
		nc, err := net.Dial(l.Addr().Network(), l.Addr().String())
		if err == nil {
			err = narrowed(nc)
		}
		return nc, err
	}

	o := call.ServerOptions{Lookup: calltest.Handlers{1: s.answer, 2: s.stream}.Lookup}
	squeezed(&o.Conn)
	if strings.HasPrefix(addr, "mtls") {
		a := calltest.NewAuthority(t)
		o.TLS = a.Config("server")
		config, plain := a.Config("client"), s.dial
		config.ServerName = "localhost"
		s.dial = func() (net.Conn, error) {
			nc, err := plain()
			return tls.Client(nc, config), err
		}
	}
	s.host = calltest.Serve(t, narrow{l}, o).Server
	return s
}

// connect returns a client, and a function that waits until its connection has ended.
func (s *squeeze) connect(t *testing.T) (c *call.Client, ended func()) {
	nc, err := s.dial()
	if err != nil {
		t.Fatal(err)
	}
	o := link.Options{}.WithDefaults()
	c, err = call.NewClient(t.Context(), nc, "narrow", squeezed(&o))
	if err != nil {
		t.Fatal(err)
	}
	var reading sync.WaitGroup
	reading.Go(func() { c.Run() })
	return c, reading.Wait
}

// Arguments say how long the answer is, or how many elements it has, and are followed by bytes of no meaning.
const wantSize = 8

func (s *squeeze) args(length int, want uint64) []byte {
	return append(binary.LittleEndian.AppendUint64(nil, want), s.bytes[:length]...)
}

// unwrap returns what the arguments ask for, if they have arrived as they were sent.
func (s *squeeze) unwrap(in *call.Incoming) (want int, ok bool) {
	rest := in.Args[wantSize:]
	return int(binary.LittleEndian.Uint64(in.Args)), bytes.Equal(rest, s.bytes[:len(rest)])
}

func (s *squeeze) answer(_ context.Context, in *call.Incoming) call.Reply {
	want, ok := s.unwrap(in)
	if !ok {
		return call.Reply{Status: codegen.StatusBadArgs}
	}
	return call.Reply{Body: s.bytes[:want]}
}

func (s *squeeze) stream(_ context.Context, in *call.Incoming) call.Reply {
	want, ok := s.unwrap(in)
	for i := 0; i < want && ok; i++ {
		ok = in.Send(s.bytes[:min(i*i*1000, 200_000)]) == nil
	}
	if !ok {
		return call.Reply{Status: codegen.StatusCancelled}
	}
	return call.Reply{}
}

// patience is how long a call may take that is not given up: one that hangs takes longer, whatever the machine
// does beside.
const patience = 2 * time.Minute

// play makes random calls, and gives up some of them at some moment.
func (s *squeeze) play(c *call.Client, rnd *rand.Rand, calls int) error {
	size := func() int {
		most := []int{1, 100, 5000, 20_000, 60_000, 70_000, 300_000, longestSqueezed}
		return rnd.IntN(most[rnd.IntN(len(most))])
	}
	for range calls {
		took := patience
		if rnd.IntN(3) == 0 {
			took = time.Duration(rnd.IntN(3000)) * time.Microsecond
		}
		ctx, cancel := context.WithTimeout(context.Background(), took)
		var err error
		if rnd.IntN(4) == 0 {
			err = s.read(ctx, c, size()/10, rnd.IntN(12), rnd.IntN(20))
		} else {
			err = s.ask(ctx, c, size(), size())
		}
		cancel()
		if err != nil && (took == patience || !errors.Is(err, context.DeadlineExceeded)) {
			return err
		}
	}
	return nil
}

// ask makes a call, and checks the answer.
func (s *squeeze) ask(ctx context.Context, c *call.Client, length, want int) error {
	reply, err := c.Call(ctx, &call.Request{Method: codegen.Key{1}, Args: s.args(length, uint64(want))})
	switch {
	case err != nil:
		return err
	case reply.Status == codegen.StatusDeadline:
		return context.DeadlineExceeded
	case reply.Status != codegen.StatusOK || !bytes.Equal(reply.Body, s.bytes[:want]):
		return fmt.Errorf("%v and %d bytes, want %d", reply.Status, len(reply.Body), want)
	}
	return nil
}

// read reads a stream, and stops after some elements.
func (s *squeeze) read(ctx context.Context, c *call.Client, length, elements, stops int) error {
	feed, err := c.Stream(ctx, &call.Request{Method: codegen.Key{2}, Args: s.args(length, uint64(elements))})
	if err != nil {
		return err
	}
	defer feed.Abandon()
	for range stops {
		elem, err := feed.Next(ctx)
		if errors.Is(err, call.ErrFeedEnded) {
			_, err := feed.Outcome()
			return err
		}
		if err != nil {
			return err
		}
		if !bytes.Equal(elem, s.bytes[:len(elem)]) {
			return errors.New("an element has changed on its way")
		}
	}
	return nil
}

// TestSqueezed: calls and streams of all lengths, many of them given up at some moment, end on connections
// between whose ends hardly anything fits, with one processor and with two. Their credit comes back, and a
// connection that is cut lets go of everybody.
func TestSqueezed(t *testing.T) {
	for _, addr := range []string{"unix://" + filepath.Join(t.TempDir(), "s"), "tcp://127.0.0.1:0", "mtls://tcp://127.0.0.1:0"} {
		s := newSqueeze(t, addr)
		for processors := range 2 {
			before := runtime.GOMAXPROCS(processors + 1)
			t.Run(fmt.Sprintf("%s, %d", strings.SplitN(addr, "/", 2)[0], processors+1), s.test)
			runtime.GOMAXPROCS(before)
		}
	}
}

func (s *squeeze) test(t *testing.T) {
	const callers, calls = 4, 8
	c, ended := s.connect(t)
	var all sync.WaitGroup
	var first sync.Once
	for range callers {
		all.Go(func() {
			seed := rand.Uint64()
			if err := s.play(c, rand.New(rand.NewPCG(seed, 0)), calls); err != nil {
				t.Errorf("seed %d: %v", seed, err)
				first.Do(func() { t.Log(stacks()) })
			}
		})
	}
	all.Wait()
	calltest.Eventually(t, "nothing is in flight", func() bool {
		return c.Pending() == 0 && s.host.Unanswered() == 0 && s.host.Stats().InFlight == 0 && s.host.Unfinished() == 0
	})

	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := s.ask(ctx, c, longestSqueezed, longestSqueezed); err != nil {
		t.Errorf("the longest message to and fro: %v", err)
	}

	for range callers {
		all.Go(func() {
			for err := error(nil); err == nil; {
				err = s.ask(ctx, c, 300_000, 300_000)
			}
		})
	}
	calltest.MustCall(t, c, &call.Request{Method: codegen.Key{1}, Args: s.args(0, 0)})
	c.Close()
	all.Wait()
	ended()
	calltest.Eventually(t, "the server has nothing left to do", func() bool {
		return s.host.Stats().Connections == 0 && s.host.Stats().InFlight == 0 && s.host.Unfinished() == 0
	})
}

// stacks returns what all goroutines do.
func stacks() string {
	var text strings.Builder
	pprof.Lookup("goroutine").WriteTo(&text, 1)
	return text.String()
}
