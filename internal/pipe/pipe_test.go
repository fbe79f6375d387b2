package pipe

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/divisi-go/divisi/envelope/protomsg"
	"github.com/divisi-go/divisi/envelope/protos"
)

// link is a pair of byte streams between an envelope and a weavelet.
type link struct {
	envR, weaR io.ReadCloser
	envW, weaW io.WriteCloser
}

// links are the ways to connect both ends.
var links = map[string]func(*testing.T) link{
	"io.Pipe": func(*testing.T) link {
		weaR, envW := io.Pipe()
		envR, weaW := io.Pipe()
		return link{envR, weaR, envW, weaW}
	},
	"os.Pipe": func(t *testing.T) link {
		weaR, envW, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		envR, weaW, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		return link{envR, weaR, envW, weaW}
	},
	"one byte at a time": func(*testing.T) link {
		weaR, envW := io.Pipe()
		envR, weaW := io.Pipe()
		return link{slowReader{envR}, slowReader{weaR}, slowWriter{envW}, slowWriter{weaW}}
	},
}

type slowWriter struct{ io.WriteCloser }

func (w slowWriter) Write(p []byte) (n int, err error) {
	for i := range p {
		if _, err := w.WriteCloser.Write(p[i : i+1]); err != nil {
			return i, err
		}
	}
	return len(p), nil
}

type slowReader struct{ io.ReadCloser }

func (r slowReader) Read(p []byte) (int, error) { return iotest.OneByteReader(r.ReadCloser).Read(p) }

// weavelet answers by functions; those that are nil answer without content.
type weavelet struct {
	WeaveletHandler
	health  func(context.Context) (*protos.GetHealthReply, error)
	routing func(*protos.UpdateRoutingInfoRequest) error
}

func (h *weavelet) GetHealth(ctx context.Context, _ *protos.GetHealthRequest) (*protos.GetHealthReply, error) {
	if h.health == nil {
		return &protos.GetHealthReply{Status: protos.HealthStatus_HEALTHY}, nil
	}
	return h.health(ctx)
}

func (h *weavelet) Drain(context.Context, *protos.DrainRequest) (*protos.DrainReply, error) {
	return nil, nil
}

func (h *weavelet) UpdateRoutingInfo(_ context.Context, r *protos.UpdateRoutingInfoRequest) (*protos.UpdateRoutingInfoReply, error) {
	return nil, h.routing(r)
}

// handler handles what a weavelet sends.
type handler interface {
	handle(context.Context, *protos.WeaveletMsg) (*protos.EnvelopeMsg, error)
}

// envelope answers requests for addresses by a function, and keeps the logs.
type envelope struct {
	address func(name string) (string, error)
	log     func(*protos.LogEntry)
}

func (h *envelope) handle(_ context.Context, m *protos.WeaveletMsg) (*protos.EnvelopeMsg, error) {
	switch {
	case m.LogEntry != nil:
		h.log(m.LogEntry)
		return nil, errors.New("an error that nobody hears")
	case m.GetListenerAddressRequest != nil:
		address, err := h.address(m.GetListenerAddressRequest.Name)
		return &protos.EnvelopeMsg{GetListenerAddressReply: &protos.GetListenerAddressReply{Address: address}}, err
	}
	return &protos.EnvelopeMsg{}, Unknown(m.Id)
}

var info = &protos.EnvelopeInfo{
	App: "app", DeploymentId: "d", Id: "w", RunMain: true, Features: []string{"extensions"},
}

// beside runs one side of a conversation, which is over before the test is.
func beside(t *testing.T, side func()) {
	over := make(chan struct{})
	go func() {
		defer close(over)
		side()
	}()
	t.Cleanup(func() { <-over })
}

// connect does the handshake, and serves both ends until the test is over.
func connect(t *testing.T, l link, eh handler, wh WeaveletHandler) (*Envelope, *Weavelet) {
	t.Helper()
	type half struct {
		e   *Envelope
		err error
	}
	done := make(chan half, 1)
	go func() {
		e, reply, err := NewEnvelope(l.envR, l.envW, info)
		if err == nil && reply.DialAddr != "tcp://a:1" {
			err = fmt.Errorf("weavelet info %+v", reply)
		}
		done <- half{e, err}
	}()
	w, got, err := NewWeavelet(l.weaR, l.weaW)
	if err != nil {
		t.Fatal(err)
	}
	if got.App != "app" || !got.RunMain {
		t.Errorf("envelope info %+v", got)
	}
	if err := w.Hello(&protos.WeaveletInfo{DialAddr: "tcp://a:1", Features: info.Features}); err != nil {
		t.Fatal(err)
	}
	env := <-done
	if env.err != nil {
		t.Fatal(env.err)
	}
	var served sync.WaitGroup
	served.Go(func() { env.e.Serve(t.Context(), eh.handle) })
	served.Go(func() { w.Serve(t.Context(), wh) })
	t.Cleanup(func() {
		env.e.Close()
		w.Close()
		served.Wait()
	})
	return env.e, w
}

// TestOutstanding has a thousand requests at once in each direction, which are answered in
// random order, each with its own answer.
func TestOutstanding(t *testing.T) {
	for name, open := range links {
		t.Run(name, func(t *testing.T) {
			const n = 1000
			var mu sync.Mutex
			var waiting []chan struct{}
			// hold lets a request wait until all of its direction are there.
			hold := func() {
				c := make(chan struct{})
				mu.Lock()
				waiting = append(waiting, c)
				if len(waiting) == 2*n {
					rand.Shuffle(2*n, func(i, j int) { waiting[i], waiting[j] = waiting[j], waiting[i] })
					go func() {
						for _, c := range waiting {
							close(c)
						}
					}()
				}
				mu.Unlock()
				<-c
			}
			e, w := connect(t, open(t),
				&envelope{address: func(s string) (string, error) { hold(); return "to " + s, nil }},
				&weavelet{routing: func(r *protos.UpdateRoutingInfoRequest) error {
					hold()
					return errors.New("about " + r.RoutingInfo.Component)
				}})
			var calls sync.WaitGroup
			for i := range n {
				s := fmt.Sprint(i)
				calls.Go(func() {
					r, err := w.GetListenerAddress(t.Context(), &protos.GetListenerAddressRequest{Name: s})
					if err != nil || r.Address != "to "+s {
						t.Errorf("request %s: %v, %v", s, r, err)
					}
				})
				calls.Go(func() {
					_, err := e.UpdateRoutingInfo(t.Context(), &protos.UpdateRoutingInfoRequest{
						RoutingInfo: &protos.RoutingInfo{Component: s},
					})
					if err == nil || err.Error() != "about "+s {
						t.Errorf("request %s: %v", s, err)
					}
				})
			}
			calls.Wait()
			if len(waiting) != 2*n {
				t.Errorf("%d requests were answered, want %d", len(waiting), 2*n)
			}
		})
	}
}

// TestFlood sends logs as fast as possible, from several goroutines, with requests among them in
// both directions. The entries of one goroutine stay in order.
func TestFlood(t *testing.T) {
	for name, open := range links {
		t.Run(name, func(t *testing.T) {
			const senders, each = 4, 2000
			seen, all := make([]int32, senders), make(chan struct{})
			total := 0
			eh := &envelope{
				address: func(s string) (string, error) { return strings.Repeat(s, 1000), nil },
				log: func(e *protos.LogEntry) {
					sender := len(e.Component)
					if e.Line != seen[sender] {
						t.Errorf("entry %d of sender %d comes after %d", e.Line, sender, seen[sender]-1)
					}
					seen[sender] = e.Line + 1
					if total++; total == senders*each {
						close(all)
					}
				},
			}
			e, w := connect(t, open(t), eh, &weavelet{})
			var calls sync.WaitGroup
			for sender := range senders {
				calls.Go(func() {
					for i := range each {
						err := w.SendLogEntry(&protos.LogEntry{Component: strings.Repeat("c", sender), Line: int32(i)})
						if err != nil {
							t.Error(err)
							return
						}
					}
				})
				calls.Go(func() {
					for range 50 {
						if _, err := e.GetHealth(t.Context(), &protos.GetHealthRequest{}); err != nil {
							t.Error(err)
							return
						}
						if _, err := w.GetListenerAddress(t.Context(), &protos.GetListenerAddressRequest{Name: "x"}); err != nil {
							t.Error(err)
							return
						}
					}
				})
			}
			calls.Wait()
			<-all
		})
	}
}

// TestFloodWithoutServe: messages that nobody takes yet do not keep replies from coming through.
func TestFloodWithoutServe(t *testing.T) {
	l := links["io.Pipe"](t)
	beside(t, func() {
		w, _, err := NewWeavelet(l.weaR, l.weaW)
		if err != nil {
			t.Error(err)
			return
		}
		w.Hello(&protos.WeaveletInfo{DialAddr: "tcp://a:1"})
		for range 5000 {
			w.SendLogEntry(&protos.LogEntry{Msg: "m"})
		}
		w.Serve(t.Context(), &weavelet{})
	})
	e, _, err := NewEnvelope(l.envR, l.envW, info)
	if err != nil {
		t.Fatal(err)
	}
	if r, err := e.GetHealth(t.Context(), &protos.GetHealthRequest{}); err != nil || r.Status != protos.HealthStatus_HEALTHY {
		t.Errorf("%v, %v", r, err)
	}
	e.Close()
	logs := 0
	err = e.Serve(t.Context(), (&envelope{log: func(*protos.LogEntry) { logs++ }}).handle)
	if err != ErrClosed || logs != 5000 {
		t.Errorf("Serve: %v after %d entries; want all that had come", err, logs)
	}
}

// TestGoldenRequest speaks the bytes of Service Weaver v0.20.0 with a weavelet, which answers with
// such bytes only, though it has more to say.
func TestGoldenRequest(t *testing.T) {
	l := links["io.Pipe"](t)
	done := make(chan error, 1)
	go func() {
		w, _, err := NewWeavelet(l.weaR, l.weaW)
		if err == nil {
			err = w.Hello(&protos.WeaveletInfo{
				DialAddr: "tcp://127.0.0.1:41289", Version: &protos.SemVer{Minor: 20},
				Features: []string{"extensions"},
			})
		}
		if err == nil {
			err = w.Serve(t.Context(), &weavelet{health: func(context.Context) (*protos.GetHealthReply, error) {
				return &protos.GetHealthReply{
					Status: protos.HealthStatus_HEALTHY, Ready: true, HealthyComponents: []string{"c"},
				}, nil
			}})
		}
		done <- err
	}()
	text := func(s string) string { return hex.EncodeToString([]byte(s)) }
	for _, step := range []struct{ send, want string }{
		{
			"620000001260" + "0a03" + text("app") + "1224" + text("11111111-1111-1111-1111-111111111111") +
				"1a24" + text("22222222-2222-2222-2222-222222222222") + "3801" + "520b" + text("localhost:0"),
			"1d000000121b" + "0a15" + text("tcp://127.0.0.1:41289") + "1a021014",
		},
		{"04000000" + "082a" + "1a00", "0f000000" + "08d6ffffffffffffffff01" + "32020801"},
		// What this version does not know is answered with an error.
		{"06000000" + "082b" + "c25d0100", "3e000000" + "08d5ffffffffffffffff01" + "2a31" +
			text("request 43 has no content that this version knows")},
	} {
		data, err := hex.DecodeString(step.send)
		if err != nil {
			t.Fatal(err)
		}
		go l.envW.Write(data)
		want, err := hex.DecodeString(step.want)
		if err != nil {
			t.Fatal(err)
		}
		got := make([]byte, len(want))
		if _, err := io.ReadFull(l.envR, got); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("got  %x, %v\nwant %x", got, err, want)
		}
	}
	l.envW.Close()
	if err := <-done; err != ErrClosed {
		t.Errorf("Serve: %v", err)
	}
}

// TestEnd ends the conversation while calls of both sides wait, in every way it can end.
func TestEnd(t *testing.T) {
	frame := func(s string) []byte { b, _ := hex.DecodeString(s); return b }
	for name, tc := range map[string]struct {
		end  func(l link, w *Weavelet)
		want string
	}{
		"closed":           {func(_ link, w *Weavelet) { w.Close() }, ""},
		"the end of file":  {func(l link, _ *Weavelet) { l.weaW.Close() }, ""},
		"half a frame":     {func(l link, _ *Weavelet) { l.weaW.Write(frame("09000000ff")); l.weaW.Close() }, "unexpected EOF"},
		"no message":       {func(l link, _ *Weavelet) { l.weaW.Write(frame("02000000ffff")) }, "cannot decode a message of 2 bytes"},
		"too much":         {func(l link, _ *Weavelet) { l.weaW.Write(frame("ffffffff")) }, "claims 4294967295 bytes"},
		"the wrong fields": {func(l link, _ *Weavelet) { l.weaW.Write(frame("030000000a0178")) }, "field 1: wire type 2"},
	} {
		for kind, open := range links {
			if kind == "one byte at a time" {
				continue // the same
			}
			t.Run(name+" over "+kind, func(t *testing.T) {
				l := open(t)
				arrived := make(chan struct{})
				e, w := connect(t, l, &envelope{}, &weavelet{health: func(ctx context.Context) (*protos.GetHealthReply, error) {
					arrived <- struct{}{}
					<-ctx.Done()
					return nil, nil
				}})
				errs := make(chan error)
				for range 10 {
					go func() {
						_, err := e.GetHealth(t.Context(), &protos.GetHealthRequest{})
						errs <- err
					}()
				}
				for range 10 {
					<-arrived
				}
				tc.end(l, w)
				for range 10 {
					check(t, "pending call", <-errs, tc.want)
				}
				_, err := e.GetHealth(t.Context(), &protos.GetHealthRequest{})
				check(t, "later call", err, tc.want)
				check(t, "Serve", e.Serve(t.Context(), (&envelope{}).handle), tc.want)
			})
		}
	}
}

func check(t *testing.T, what string, err error, want string) {
	t.Helper()
	if !errors.Is(err, ErrClosed) || !strings.Contains(err.Error(), want) {
		t.Errorf("%s: %v; want ErrClosed and %q", what, err, want)
	}
}

// TestLastReply: a reply that came before the end is not lost to it.
func TestLastReply(t *testing.T) {
	for range 200 {
		l := links["io.Pipe"](t)
		beside(t, func() {
			var m protos.EnvelopeMsg
			protomsg.Read(l.weaR, &m)
			protomsg.Write(l.weaW, &protos.WeaveletMsg{WeaveletInfo: &protos.WeaveletInfo{DialAddr: "a"}})
			protomsg.Read(l.weaR, &m)
			protomsg.Write(l.weaW, &protos.WeaveletMsg{Id: -1, GetHealthReply: &protos.GetHealthReply{Ready: true}})
			l.weaW.Close()
		})
		e, _, err := NewEnvelope(l.envR, l.envW, info)
		if err != nil {
			t.Fatal(err)
		}
		if r, err := e.GetHealth(t.Context(), &protos.GetHealthRequest{}); err != nil || !r.Ready {
			t.Fatalf("%v, %v", r, err)
		}
		e.Close()
	}
}

// TestStrayReplies: a reply to nothing, a second reply, and one after the caller has left change
// nothing.
func TestStrayReplies(t *testing.T) {
	l := links["os.Pipe"](t)
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	late := errors.New("too late")
	beside(t, func() {
		var m protos.EnvelopeMsg
		protomsg.Read(l.weaR, &m)
		protomsg.Write(l.weaW, &protos.WeaveletMsg{WeaveletInfo: &protos.WeaveletInfo{DialAddr: "a"}})
		protomsg.Read(l.weaR, &m) // request 1, which is left
		cancel(late)
		m = protos.EnvelopeMsg{}
		protomsg.Read(l.weaR, &m) // request 2
		for _, id := range []int64{-1, -99, -1 << 63, -2, -2} {
			status := protos.HealthStatus_UNHEALTHY
			if id == -2 {
				status = protos.HealthStatus_HEALTHY
			}
			protomsg.Write(l.weaW, &protos.WeaveletMsg{Id: id, GetHealthReply: &protos.GetHealthReply{Status: status}})
		}
		protomsg.Read(l.weaR, &m) // request 3, answered without content
		protomsg.Write(l.weaW, &protos.WeaveletMsg{Id: -3})
	})
	e, _, err := NewEnvelope(l.envR, l.envW, info)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	defer l.weaR.Close()
	defer l.weaW.Close()
	if _, err := e.GetHealth(ctx, &protos.GetHealthRequest{}); err != late {
		t.Errorf("request that was left: %v", err)
	}
	for _, want := range []protos.HealthStatus{protos.HealthStatus_HEALTHY, protos.HealthStatus_UNKNOWN} {
		r, err := e.GetHealth(t.Context(), &protos.GetHealthRequest{})
		if err != nil || r.Status != want {
			t.Errorf("%v, %v; want %v", r, err, want)
		}
	}
}

// TestServeEnds with its context, and gives the context's cause to calls.
func TestServeEnds(t *testing.T) {
	l := links["os.Pipe"](t)
	e, _ := connect(t, l, &envelope{}, &weavelet{})
	ctx, cancel := context.WithCancelCause(t.Context())
	over := errors.New("enough")
	cancel(over)
	if err := e.Serve(ctx, (&envelope{}).handle); err != over {
		t.Errorf("Serve: %v", err)
	}
	if _, err := e.GetHealth(t.Context(), &protos.GetHealthRequest{}); err != over {
		t.Errorf("call: %v", err)
	}
}

func TestHandshake(t *testing.T) {
	send := func(m protos.Message) *bytes.Buffer {
		var buf bytes.Buffer
		if err := protomsg.Write(&buf, m); err != nil {
			t.Fatal(err)
		}
		return &buf
	}
	nothing := struct {
		io.Writer
		io.Closer
	}{io.Discard, io.NopCloser(nil)}
	for want, m := range map[string]*protos.EnvelopeMsg{
		"not an EnvelopeInfo":      {Id: 1, GetHealthRequest: &protos.GetHealthRequest{}},
		"lacks the application":    {EnvelopeInfo: &protos.EnvelopeInfo{DeploymentId: "d", Id: "i"}},
		"the deployment":           {EnvelopeInfo: &protos.EnvelopeInfo{App: "d", Id: "i"}},
		"the deployment or the id": {EnvelopeInfo: &protos.EnvelopeInfo{App: "d", DeploymentId: "i"}},
	} {
		if _, _, err := NewWeavelet(io.NopCloser(send(m)), nothing); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	for want, m := range map[string]*protos.WeaveletMsg{
		"not a WeaveletInfo": {LogEntry: &protos.LogEntry{}},
		"lacks the address":  {WeaveletInfo: &protos.WeaveletInfo{Pid: 1}},
	} {
		if _, _, err := NewEnvelope(io.NopCloser(send(m)), nothing, info); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	if _, _, err := NewEnvelope(io.NopCloser(strings.NewReader("")), nothing, info); !errors.Is(err, io.EOF) {
		t.Errorf("a weavelet that is gone: %v", err)
	}
}

// TestMethods calls every method of each end once, and sees that its content comes through.
func TestMethods(t *testing.T) {
	eh, wh := &recordingEnvelope{}, &recordingWeavelet{}
	e, w := connect(t, links["io.Pipe"](t), eh, wh)
	ctx := t.Context()
	for _, f := range []func() error{
		func() error {
			_, err := w.ActivateComponent(ctx, &protos.ActivateComponentRequest{Component: "1"})
			return err
		},
		func() error {
			_, err := w.GetListenerAddress(ctx, &protos.GetListenerAddressRequest{Name: "2"})
			return err
		},
		func() error {
			_, err := w.ExportListener(ctx, &protos.ExportListenerRequest{Listener: "3"})
			return err
		},
		func() error { _, err := w.GetSelfCertificate(ctx, &protos.GetSelfCertificateRequest{}); return err },
		func() error {
			_, err := w.VerifyClientCertificate(ctx, &protos.VerifyClientCertificateRequest{CertChain: [][]byte{[]byte("5")}})
			return err
		},
		func() error {
			_, err := w.VerifyServerCertificate(ctx, &protos.VerifyServerCertificateRequest{TargetComponent: "6"})
			return err
		},
		func() error { _, err := e.GetMetrics(ctx, &protos.GetMetricsRequest{}); return err },
		func() error { _, err := e.GetLoad(ctx, &protos.GetLoadRequest{}); return err },
		func() error { _, err := e.GetProfile(ctx, &protos.GetProfileRequest{CpuDurationNs: 3}); return err },
		func() error {
			_, err := e.UpdateComponents(ctx, &protos.UpdateComponentsRequest{Components: []string{"4"}})
			return err
		},
		func() error { _, err := e.Drain(ctx, &protos.DrainRequest{TimeoutMicros: 5}); return err },
	} {
		if err := f(); err == nil || err.Error() != "heard" {
			t.Errorf("error %v, want the handler's", err)
		}
	}
	if want := []string{"activate 1", "address 2", "export 3", "certificate", "client 5", "server 6"}; !slices.Equal(eh.all, want) {
		t.Errorf("the envelope heard %q, want %q", eh.all, want)
	}
	if want := []string{"metrics", "load", "profile 3", "components [4]", "drain 5"}; !slices.Equal(wh.all, want) {
		t.Errorf("the weavelet heard %q, want %q", wh.all, want)
	}
}
