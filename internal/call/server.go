package call

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/divisi-go/divisi/codegen"
	"github.com/divisi-go/divisi/internal/call/link"
	"github.com/divisi-go/divisi/internal/identity"
)

const (
	acceptBackoff    = 5 * time.Millisecond // doubled for each failure in a row
	acceptBackoffCap = time.Second
	acceptFailures   = 100 // in a row, until Serve gives up: about 90 s
)

// Peer is who calls.
type Peer struct {
	Addr       string           // of the connection's other end
	Deployment string           // as it says itself
	Weavelet   string           // as it says itself
	Rights     *identity.Rights // what Authorize returned; nil, which is no limit, without TLS
}

// Handler executes one call. Its ctx ends with the call's deadline, when the caller cancels or
// has gone, and when the server stops. A panic becomes a reply with codegen.StatusPanic.
type Handler func(ctx context.Context, in *Incoming) Reply

// ServerOptions configure a Server. The zero value is the default.
type ServerOptions struct {
	// Lookup returns the handler of a method for a peer, nil if it has none or may not call
	// it. It is called once for each method that is used on a connection, by the goroutine that reads.
	// Default: there is none.
	Lookup func(peer Peer, k codegen.Key) Handler
	Conn   link.Options // of each connection

	TLS *tls.Config // default: connections are not encrypted
	// Authorize decides about a peer whose TLS handshake succeeded; an error turns it away.
	// Default: every peer is welcome, and nothing limits what it may call.
	Authorize func(*tls.ConnectionState) (*identity.Rights, error)

	// MaxInFlight is how many calls run or wait at a time, on all connections; calls beyond are
	// answered OVERLOADED. Default 8192.
	MaxInFlight int
	// Spare returns how many goroutines more could run at once; it is negative if more are ready
	// to run than there are processors. Default: it asks the Go scheduler.
	Spare func() int
	// MaxHandshakes is how many connections may be at the point of saying who they are. One more
	// takes the place of the oldest one that has said nothing, or else of the oldest. Default 1024.
	MaxHandshakes int
	// Linger is how long Drain waits, after the last call, for callers to hang up: whatever
	// they sent before they heard of the drain is answered DRAINING instead of being cut
	// off. Default 1 s.
	Linger time.Duration
	Logger *slog.Logger // default: logs nothing
}

func (o ServerOptions) withDefaults() ServerOptions {
	o.Conn = o.Conn.WithDefaults()
	o.MaxInFlight = cmp.Or(o.MaxInFlight, 8192)
	o.MaxHandshakes = cmp.Or(o.MaxHandshakes, 1024)
	if o.Spare == nil {
		o.Spare = spareProcessors
	}
	o.Linger = cmp.Or(o.Linger, time.Second)
	o.Logger = cmp.Or(o.Logger, slog.New(slog.DiscardHandler))
	if o.Lookup == nil {
		o.Lookup = func(Peer, codegen.Key) Handler { return nil }
	}
	return o
}

var errDrained = errors.New("the server has drained")

// Server executes calls that arrive on any number of listeners.
type Server struct {
	o          ServerOptions
	refused    refusals
	running    atomic.Int64  // handlers, and calls that wait for theirs
	shed       atomic.Uint64 // calls refused because of too much to do
	unfinished atomic.Int64  // memory of messages of which chunks are missing
	entrance   entrance
	arrivals   arrivals
	calls      atomic.Uint64
	errors     atomic.Uint64
	draining   atomic.Bool

	mu       sync.Mutex
	sessions map[*session]struct{}
	greeting int           // connections whose handshake goes on
	drained  bool          // a drain has ended: who comes now could not be answered, and is not greeted
	changed  chan struct{} // closed and replaced when a call or session ends during a drain
	in, out  uint64        // bytes of connections that have ended
}

// NewServer returns a Server; it starts nothing before Serve.
func NewServer(o ServerOptions) *Server {
	s := &Server{o: o.withDefaults(), sessions: map[*session]struct{}{}, changed: make(chan struct{})}
	s.refused.log = s.o.Logger
	s.arrivals.most = s.o.MaxHandshakes
	s.entrance.open(max(1, s.o.MaxInFlight/2), s.o.Spare)
	return s
}

// Serve accepts connections from l and serves them until ctx ends; then it closes l and the
// connections, which ends the contexts of their calls, and returns nil once no connection is
// left. It does not wait for handlers that go on regardless. It returns an error if l fails,
// and also closes the connections then. Call Drain first to lose nothing.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	var conns sync.WaitGroup
	defer conns.Wait()
	defer cancel()
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	defer l.Close()
	for failures := 0; ; {
		nc, err := l.Accept()
		switch {
		case err == nil:
			failures = 0
			conns.Add(1)
			go s.serve(ctx, nc, conns.Done)
			continue
		case ctx.Err() != nil:
			return nil
		}
		if failures++; errors.Is(err, net.ErrClosed) || failures == acceptFailures {
			return fmt.Errorf("cannot accept connections: %w", err)
		}
		s.refused.add("listener "+l.Addr().String(), "cannot accept a connection", err)
		select {
		case <-time.After(min(acceptBackoffCap, acceptBackoff<<min(failures-1, 10))):
		case <-ctx.Done():
		}
	}
}

// serve serves one connection, and calls ended when that has ended: perhaps later, as the goroutine may
// come to execute a call that goes on.
func (s *Server) serve(ctx context.Context, nc net.Conn, ended func()) {
	stop := context.AfterFunc(ctx, func() { link.Cut(nc) })
	end := func(what string, err error) {
		if ctx.Err() == nil && what != "" {
			s.refused.add(hostOf(nc.RemoteAddr()), what, err)
		}
		stop()
		link.Cut(nc)
		ended()
	}

	ss, err := s.admit(ctx, nc)
	if err != nil {
		s.greet(-1)
		end("a connection was refused", err)
		return
	}
	ss.open(func(err error) {
		if worthLogging(err) {
			end("a connection was ended", err)
		} else {
			end("", nil)
		}
	})
}

// admit finds room for a connection and does the handshakes.
func (s *Server) admit(ctx context.Context, nc net.Conn) (*session, error) {
	if !s.greet(1) {
		return nil, errDrained
	}
	arrival := s.arrivals.enter(nc)
	defer s.arrivals.leave(arrival)
	ss, err := s.identify(ctx, nc, arrival)
	return ss, arrival.why(err)
}

// identify does the handshakes of a connection that has arrived.
func (s *Server) identify(ctx context.Context, nc net.Conn, arrival *arrival) (*session, error) {
	nc.SetDeadline(time.Now().Add(s.o.Conn.HandshakeTimeout))
	peer := Peer{Addr: nc.RemoteAddr().String()}
	var stream net.Conn = arrival
	if s.o.TLS != nil {
		tc := tls.Server(arrival, s.o.TLS)
		if err := tc.HandshakeContext(ctx); err != nil {
			return nil, err
		}
		nc, stream = tc, tc
		if s.o.Authorize != nil {
			state := tc.ConnectionState()
			rights, err := s.o.Authorize(&state)
			if err != nil {
				return nil, err
			}
			peer.Rights = rights
		}
	}

	hello, err := link.Welcome(stream, &s.o.Conn)
	if err != nil {
		return nil, err
	}
	nc.SetDeadline(time.Time{})
	peer.Deployment, peer.Weavelet = hello.Deployment, hello.Weavelet
	return newSession(s, nc, peer, hello), nil
}

// Drain tells every caller to go elsewhere, answers new calls DRAINING, and returns when no
// call is in flight and the callers have hung up; who comes later is not greeted, so that it has sent nothing that is
// lost when Serve ends. If ctx ends first, its error says how many calls were left. Serve still runs then, and
// connections that come are told to go elsewhere.
func (s *Server) Drain(ctx context.Context) error {
	s.draining.Store(true)
	s.mu.Lock()
	for ss := range s.sessions {
		ss.goAway()
	}
	s.mu.Unlock()
	var idle time.Time // since when nothing was in flight
	t := time.NewTimer(s.o.Linger)
	defer t.Stop()
	for {
		calls, unsent, changed := s.inFlight()
		now := time.Now()
		switch {
		case changed == nil:
			return nil
		case calls > 0 || unsent:
			idle = time.Time{}
		case idle.IsZero():
			idle = now
		case now.Sub(idle) >= s.o.Linger:
			s.mu.Lock()
			s.drained = true
			s.mu.Unlock()
			return nil
		}
		t.Reset(s.o.Linger)
		select {
		case <-changed:
		case <-t.C:
		case <-ctx.Done():
			return fmt.Errorf("cannot drain: %d calls are in flight: %w", calls, ctx.Err())
		}
	}
}

// inFlight counts the calls without an answer, and reports whether answers wait to be written; changed is closed when
// there may be fewer. It is nil when a drain has left no connection: from then on, none is greeted.
func (s *Server) inFlight() (calls int, unsent bool, changed <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining.Load() && len(s.sessions)+s.greeting == 0 {
		s.drained = true
		return 0, false, nil
	}
	for ss := range s.sessions {
		calls += ss.inFlight()
		waiting, _ := ss.link.Out.Progress()
		unsent = unsent || waiting
	}
	return calls, unsent, s.changed
}

// greet counts a connection whose handshake begins, or with -1 has failed, and reports whether it comes in time.
func (s *Server) greet(n int) bool {
	s.mu.Lock()
	s.greeting += n
	late := s.drained
	s.mu.Unlock()
	s.note()
	return !late
}

// note wakes Drain.
func (s *Server) note() {
	if !s.draining.Load() {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *Server) add(ss *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.greeting--
	s.sessions[ss] = struct{}{}
	if s.draining.Load() {
		ss.goAway()
	}
}

func (s *Server) remove(ss *session) {
	s.mu.Lock()
	delete(s.sessions, ss)
	in, out := ss.link.Bytes()
	s.in += in
	s.out += out
	s.mu.Unlock()
	s.note()
}

// Stats returns what the server has done so far.
func (s *Server) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := Stats{
		Connections: len(s.sessions), InFlight: int(s.running.Load()), Calls: s.calls.Load(),
		Errors: s.errors.Load(), Shed: s.shed.Load(), Refused: s.refused.total(), BytesIn: s.in, BytesOut: s.out,
	}
	for ss := range s.sessions {
		in, out := ss.link.Bytes()
		st.BytesIn += in
		st.BytesOut += out
	}
	return st
}
