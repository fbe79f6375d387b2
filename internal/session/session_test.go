package session

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/divisi-go/divisi/internal/call/memnet"
	"github.com/divisi-go/divisi/internal/message"
	"github.com/divisi-go/divisi/internal/pipe"
)

// hosted is a weavelet that answers questions for its health only.
type hosted struct {
	pipe.WeaveletHandler
	mu      sync.Mutex // guards resumed
	resumed int
}

func (h *hosted) GetHealth(context.Context, *message.GetHealthRequest) (*message.GetHealthReply, error) {
	return &message.GetHealthReply{Status: message.HealthStatus_HEALTHY}, nil
}

func (h *hosted) Describe(info *message.WeaveletInfo) { info.Components = []string{"cart"} }

func (h *hosted) Resume(context.Context) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.resumed++
}

// world is a socket, and a weavelet that dials it.
type world struct {
	t      *testing.T
	net    *memnet.Network
	socket net.Listener
	*hosted
	s    *Session
	logs *lines
}

// lines counts log entries by their messages.
type lines struct {
	slog.Handler
	mu   sync.Mutex // guards seen
	seen map[string]int
}

func (l *lines) Enabled(context.Context, slog.Level) bool { return true }

func (l *lines) Handle(_ context.Context, r slog.Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seen[r.Message]++
	return nil
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, net: memnet.New(), hosted: &hosted{}, logs: &lines{seen: map[string]int{}}}
	w.socket = w.net.Listen("deployer")
	return w
}

func (w *world) dial(ctx context.Context) (net.Conn, error) { return w.net.Dial(ctx, "deployer") }

// deployer accepts a conversation and says what it knows.
func (w *world) deployer(info *message.EnvelopeInfo) (*pipe.Envelope, *message.WeaveletInfo, error) {
	conn, err := w.socket.Accept()
	if err != nil {
		w.t.Fatal(err)
	}
	return pipe.NewEnvelope(io.NopCloser(conn), conn, info)
}

// start has the weavelet meet its first deployer, of epoch 5, and runs it until the test is over. Before
// the deployer, something else may happen.
func (w *world) start(before ...func()) *pipe.Envelope {
	w.t.Helper()
	first := make(chan *pipe.Envelope, 1)
	go func() {
		for _, f := range before {
			f()
		}
		e, info, err := w.deployer(w.info(5))
		if err != nil || info.Id != "cart-0.1" || len(info.Components) > 0 {
			w.t.Errorf("the weavelet says %+v, %v", info, err)
		}
		first <- e
	}()
	s, info, err := Dial(w.t.Context(), w.dial, nil, slog.New(w.logs))
	if err != nil || info.Id != "cart-0.1" {
		w.t.Fatalf("the deployer says %+v, %v", info, err)
	}
	if err := s.Hello(&message.WeaveletInfo{DialAddr: "tcp://a:1"}); err != nil {
		w.t.Fatal(err)
	}

	w.s = s
	ctx, cancel := context.WithCancel(w.t.Context())
	var running sync.WaitGroup
	running.Go(func() { s.Keep(ctx, slog.New(w.logs)) })
	running.Go(func() { s.Serve(ctx, w.hosted) })
	w.t.Cleanup(func() {
		cancel()
		s.Close()
		running.Wait()
	})
	return <-first
}

func (w *world) info(epoch uint64) *message.EnvelopeInfo {
	return &message.EnvelopeInfo{
		App: "shop", DeploymentId: "v1", Id: "cart-0.1", Features: []string{"extensions"}, Epoch: epoch,
	}
}

// answering answers requests for addresses, until the conversation is over.
func answering(e *pipe.Envelope, address string) {
	go e.Serve(context.Background(), func(_ context.Context, m *message.WeaveletMsg) (*message.EnvelopeMsg, error) {
		return &message.EnvelopeMsg{GetListenerAddressReply: &message.GetListenerAddressReply{Address: address}}, nil
	})
}

// TestTakeover: what is asked of a deployer that goes is answered by the next one, which is told what
// the weavelet is. One that was succeeded, or takes the weavelet for another, is refused.
func TestTakeover(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		first := w.start()
		asked := make(chan error, 1)
		go func() {
			reply, err := w.s.GetListenerAddress(t.Context(), &message.GetListenerAddressRequest{Name: "web"})
			if err == nil && reply.Address != "second" {
				err = errors.New("the address is " + reply.Address)
			}
			asked <- err
		}()
		synctest.Wait()
		first.Close()

		e, info, err := w.deployer(w.info(6))
		if err != nil || info.DialAddr != "tcp://a:1" || info.Id != "cart-0.1" || !slices.Equal(info.Components, []string{"cart"}) {
			t.Fatalf("the second deployer is told %+v, %v", info, err)
		}
		answering(e, "second")
		if err := <-asked; err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if w.resumed != 1 {
			t.Errorf("it was told to resume %d times", w.resumed)
		}
		e.Close()

		other, wrong, silent := w.info(6), w.info(6), w.info(6)
		other.App, wrong.Id, silent.Features = "bank", "cart-1.1", nil
		for want, info := range map[string]*message.EnvelopeInfo{
			"the deployer of epoch 5 has been succeeded": w.info(5),
			"application is shop, not bank":              other,
			"id is cart-0.1, not cart-1.1":               wrong,
			"lists no features":                          silent,
		} {
			if _, _, err := w.deployer(info); !errors.Is(err, pipe.ErrRefused) || !strings.Contains(err.Error(), want) {
				t.Errorf("%+v: %v, want %s", info, err, want)
			}
		}
		e, info, err = w.deployer(&message.EnvelopeInfo{Epoch: 6, Features: []string{"extensions"}})
		if err != nil || info.Id != "cart-0.1" {
			t.Errorf("a deployer that knows nothing is told %+v, %v", info, err)
		}
		synctest.Wait()
		if reply, err := e.GetHealth(t.Context(), &message.GetHealthRequest{}); err != nil || reply.Status != message.HealthStatus_HEALTHY {
			t.Errorf("health %+v, %v", reply, err)
		}
	})
}

// TestSilence: a deployer that says nothing is left, and one that asks is not.
func TestSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		first := w.start()
		for range 60 {
			time.Sleep(time.Second)
			if _, err := first.GetHealth(t.Context(), &message.GetHealthRequest{}); err != nil {
				t.Fatal(err)
			}
		}
		since := time.Now()
		e, _, err := w.deployer(w.info(6))
		if err != nil {
			t.Fatal(err)
		}
		if quiet := time.Since(since); quiet < silence || quiet > silence*4/3+lastWait {
			t.Errorf("the deployer was left after %v", quiet)
		}
		if _, err := first.GetHealth(t.Context(), &message.GetHealthRequest{}); !errors.Is(err, pipe.ErrClosed) {
			t.Errorf("the first one is answered: %v", err)
		}
		if _, err := e.GetHealth(t.Context(), &message.GetHealthRequest{}); err != nil {
			t.Error(err)
		}
	})
}

// TestNobody: without a deployer, requests wait for the next one or for their contexts, and what is only
// told waits as well. It is said once, and however long it takes, the next one is found soon.
func TestNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		first := w.start()
		if !w.s.Attended() {
			t.Error("there is no deployer")
		}
		w.socket.Close()
		first.Close()
		synctest.Wait()
		if w.s.Attended() {
			t.Error("there still is a deployer")
		}

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := w.s.ActivateComponent(ctx, &message.ActivateComponentRequest{}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a request ends with %v", err)
		}
		sent := make(chan error, 1)
		go func() { sent <- w.s.SendLogEntry(&message.LogEntry{Msg: "kept"}) }()
		time.Sleep(time.Hour)
		if n := w.logs.seen["cannot converse with a deployer: trying again and again"]; n != 1 {
			t.Errorf("that there is none is said %d times", n)
		}

		since := time.Now()
		w.socket = w.net.Listen("deployer")
		e, _, err := w.deployer(w.info(6))
		if err != nil {
			t.Fatal(err)
		}
		if took := time.Since(since); took > lastWait {
			t.Errorf("it was found after %v", took)
		}
		heard := make(chan string, 1)
		go e.Serve(t.Context(), func(_ context.Context, m *message.WeaveletMsg) (*message.EnvelopeMsg, error) {
			heard <- m.LogEntry.Msg
			return nil, nil
		})
		if msg := <-heard; msg != "kept" {
			t.Errorf("the log says %q", msg)
		}
		if err := <-sent; err != nil {
			t.Error(err)
		}
	})
}

// TestNoFirstWord: a weavelet does not wait for ever for a deployer that has accepted and stands still.
func TestNoFirstWord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		standing := make(chan net.Conn, 1)
		w.start(func() {
			conn, err := w.socket.Accept()
			if err != nil {
				t.Error(err)
			}
			standing <- conn
		})
		if _, err := io.ReadAll(<-standing); err != nil {
			t.Errorf("the connection is still there: %v", err)
		}
	})
}

// TestEnd: a session that has ended answers, and so does one that has not begun.
func TestEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		first := w.start()
		asked := make(chan error, 1)
		go func() {
			_, err := w.s.GetSelfCertificate(context.Background(), &message.GetSelfCertificateRequest{})
			asked <- err
		}()
		w.socket.Close()
		first.Close()
		synctest.Wait()
		w.s.Close()
		if err := <-asked; !errors.Is(err, errEnded) {
			t.Errorf("a request ends with %v", err)
		}

		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, _, err := Dial(ctx, w.dial, nil, slog.New(w.logs)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Dial ends with %v", err)
		}
	})
}

// TestPipes: over pipes there is one conversation.
func TestPipes(t *testing.T) {
	weaR, envW := io.Pipe()
	envR, weaW := io.Pipe()
	done := make(chan *pipe.Envelope, 1)
	go func() {
		e, _, err := pipe.NewEnvelope(envR, envW, &message.EnvelopeInfo{App: "a", DeploymentId: "d", Id: "i"})
		if err != nil {
			t.Error(err)
		}
		done <- e
	}()
	s, _, err := Pipes(weaR, weaW)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Hello(&message.WeaveletInfo{DialAddr: "tcp://a:1"}); err != nil {
		t.Fatal(err)
	}
	s.Keep(t.Context(), slog.New(slog.DiscardHandler))
	(<-done).Close()
	if err := s.Serve(t.Context(), &hosted{}); !errors.Is(err, pipe.ErrClosed) {
		t.Errorf("Serve returns %v", err)
	}
	if _, err := s.ExportListener(t.Context(), &message.ExportListenerRequest{}); !errors.Is(err, pipe.ErrClosed) {
		t.Errorf("a request ends with %v", err)
	}
}
