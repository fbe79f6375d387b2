package pipe

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/divisi-go/divisi/envelope/protomsg"
	"github.com/divisi-go/divisi/envelope/protos"
)

// TestLogsThatNobodyTakes: a handler that is stuck in a log entry keeps neither requests nor replies
// from coming through, however much the weavelet logs. What is too much is counted.
func TestLogsThatNobodyTakes(t *testing.T) {
	const sent = maxUnheard + 1000
	release, stuck, heard := make(chan struct{}), make(chan struct{}), make(chan string, sent)
	first := true
	eh := &envelope{
		address: func(s string) (string, error) { return "to " + s, nil },
		log: func(e *protos.LogEntry) {
			if first {
				first = false
				close(stuck)
				<-release
			}
			heard <- e.Msg
		},
	}
	e, w := connect(t, links["os.Pipe"](t), eh, &weavelet{})
	for i := range sent {
		if err := w.SendLogEntry(&protos.LogEntry{Msg: fmt.Sprint(i)}); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			<-stuck
		}
	}
	if r, err := w.GetListenerAddress(t.Context(), &protos.GetListenerAddressRequest{Name: "x"}); err != nil || r.Address != "to x" {
		t.Errorf("request of the weavelet: %v, %v", r, err)
	}
	if _, err := e.GetHealth(t.Context(), &protos.GetHealthRequest{}); err != nil {
		t.Errorf("request of the envelope: %v", err)
	}
	close(release)
	// The entry that is stuck, then as many as may wait, and how many did not get a place.
	for i := range maxUnheard + 1 {
		if msg := <-heard; msg != fmt.Sprint(i) {
			t.Fatalf("entry %d is %q", i, msg)
		}
	}
	if msg := <-heard; !strings.HasPrefix(msg, "999 messages dropped") {
		t.Errorf("the last entry is %q", msg)
	}
}

// TestStoppedPeer: a call ends with its context also when the other side reads nothing, as a
// process does that was stopped.
func TestStoppedPeer(t *testing.T) {
	l := links["io.Pipe"](t)
	beside(t, func() {
		var m protos.EnvelopeMsg
		protomsg.Read(l.weaR, &m)
		protomsg.Write(l.weaW, &protos.WeaveletMsg{WeaveletInfo: &protos.WeaveletInfo{DialAddr: "a"}})
	})
	e, _, err := NewEnvelope(l.envR, l.envW, info)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	for range 3 {
		ctx, cancel := context.WithCancelCause(t.Context())
		enough := errors.New("enough")
		cancel(enough)
		if _, err := e.GetHealth(ctx, &protos.GetHealthRequest{}); err != enough {
			t.Errorf("call: %v", err)
		}
	}
}

// TestTooManyRequests: a peer that does nothing but ask is left.
func TestTooManyRequests(t *testing.T) {
	l := links["io.Pipe"](t)
	beside(t, func() {
		var m protos.EnvelopeMsg
		protomsg.Read(l.weaR, &m)
		protomsg.Write(l.weaW, &protos.WeaveletMsg{WeaveletInfo: &protos.WeaveletInfo{DialAddr: "a"}})
		for id := int64(1); id <= maxRequests+1; id++ {
			protomsg.Write(l.weaW, &protos.WeaveletMsg{Id: id, GetListenerAddressRequest: &protos.GetListenerAddressRequest{}})
		}
	})
	e, _, err := NewEnvelope(l.envR, l.envW, info)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	err = e.Serve(ctx, (&envelope{address: func(string) (string, error) { <-ctx.Done(); return "", nil }}).handle)
	if !errors.Is(err, ErrClosed) || !strings.Contains(err.Error(), fmt.Sprint(maxRequests)) {
		t.Errorf("Serve: %v", err)
	}
}

// TestTooLarge: a reply that is too large to be sent is an error of its request, and not the end.
func TestTooLarge(t *testing.T) {
	e, _ := connect(t, links["os.Pipe"](t), &envelope{}, &profiled{data: make([]byte, protomsg.MaxSize)})
	_, err := e.GetProfile(t.Context(), &protos.GetProfileRequest{})
	if err == nil || errors.Is(err, ErrClosed) || !strings.Contains(err.Error(), "the limit is") {
		t.Errorf("call: %v", err)
	}
	if _, err := e.GetHealth(t.Context(), &protos.GetHealthRequest{}); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// profiled has a large profile.
type profiled struct {
	weavelet
	data []byte
}

func (h *profiled) GetProfile(context.Context, *protos.GetProfileRequest) (*protos.GetProfileReply, error) {
	return &protos.GetProfileReply{Data: h.data}, nil
}

// TestReplyOfItsOwn: a handler that returns nothing still answers with a reply of the right kind.
// Peers of v0.20 take anything else for an error.
func TestReplyOfItsOwn(t *testing.T) {
	l := links["io.Pipe"](t)
	beside(t, func() {
		w, _, err := NewWeavelet(l.weaR, l.weaW)
		if err != nil {
			t.Error(err)
			return
		}
		w.Hello(&protos.WeaveletInfo{DialAddr: "a"})
		w.Serve(t.Context(), &weavelet{routing: func(*protos.UpdateRoutingInfoRequest) error { return nil }})
	})
	defer l.envW.Close()
	var m protos.WeaveletMsg
	for _, send := range []*protos.EnvelopeMsg{
		{EnvelopeInfo: info},
		{Id: 7, UpdateRoutingInfoRequest: &protos.UpdateRoutingInfoRequest{}},
	} {
		if err := protomsg.Write(l.envW, send); err != nil {
			t.Fatal(err)
		}
		if err := protomsg.Read(l.envR, &m); err != nil {
			t.Fatal(err)
		}
	}
	if m.Id != -7 || m.UpdateRoutingInfoReply == nil || m.Error != "" {
		t.Errorf("reply %+v", m)
	}
}

// TestFeatures: extensions are sent to peers that list features, and to no others.
func TestFeatures(t *testing.T) {
	for _, features := range [][]string{nil, {"f"}} {
		l := links["io.Pipe"](t)
		mine := *info
		mine.Features = features
		connected := make(chan *Envelope)
		go func() {
			e, reply, err := NewEnvelope(l.envR, l.envW, &mine)
			if err != nil {
				t.Error(err)
			} else if len(reply.Features) != len(features) {
				t.Errorf("the envelope has the features %q, the weavelet answers with %q", features, reply.Features)
			}
			connected <- e
		}()
		w, _, err := NewWeavelet(l.weaR, l.weaW)
		if err != nil {
			t.Fatal(err)
		}
		beside(t, func() {
			w.Serve(t.Context(), &weavelet{health: func(context.Context) (*protos.GetHealthReply, error) {
				return &protos.GetHealthReply{Status: protos.HealthStatus_HEALTHY, Ready: true, HealthyComponents: []string{"c"}}, nil
			}})
		})
		if err := w.Hello(&protos.WeaveletInfo{DialAddr: "a", Features: []string{"f"}}); err != nil {
			t.Fatal(err)
		}
		e := <-connected
		r, err := e.GetHealth(t.Context(), &protos.GetHealthRequest{})
		if err != nil || r.Status != protos.HealthStatus_HEALTHY {
			t.Fatal(r, err)
		}
		if r.Ready != (features != nil) || len(r.HealthyComponents) != len(features) {
			t.Errorf("with the features %q the health is %+v", features, r)
		}
		if _, err := e.Drain(t.Context(), &protos.DrainRequest{}); errors.Is(err, errors.ErrUnsupported) != (features == nil) {
			t.Errorf("with the features %q Drain ends with %v", features, err)
		}
		e.Close()
		w.Close()
	}
}

// TestLargeLogsThatNobodyTakes: what waits for a handler is bounded in bytes, too.
func TestLargeLogsThatNobodyTakes(t *testing.T) {
	const size = 1 << 20
	release, stuck := make(chan struct{}), make(chan struct{})
	heard := make(chan string, 2*maxUnheardMemory/size)
	first := true
	eh := &envelope{
		address: func(s string) (string, error) { return s, nil },
		log: func(e *protos.LogEntry) {
			if first {
				first = false
				close(stuck)
				<-release
			}
			heard <- e.Msg
		},
	}
	_, w := connect(t, links["os.Pipe"](t), eh, &weavelet{})
	const sent = maxUnheardMemory/size + 10
	for i := range sent {
		if err := w.SendLogEntry(&protos.LogEntry{Msg: strings.Repeat("x", size)}); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			<-stuck
		}
	}
	if _, err := w.GetListenerAddress(t.Context(), &protos.GetListenerAddressRequest{}); err != nil {
		t.Fatal(err) // by now everything has arrived
	}
	close(release)
	for i := range maxUnheardMemory / size {
		if msg := <-heard; len(msg) != size {
			t.Fatalf("entry %d is %.100q", i, msg)
		}
	}
	if msg := <-heard; msg != "10 messages dropped: they came faster than they could be taken" {
		t.Errorf("the last entry is %.100q", msg)
	}
}

// TestLeave: a request whose asker no longer waits ends, wherever it is. A weavelet that lists no
// features is not told.
func TestLeave(t *testing.T) {
	for _, features := range [][]string{nil, info.Features} {
		l := links["os.Pipe"](t)
		connected := make(chan *Envelope)
		go func() {
			e, _, err := NewEnvelope(l.envR, l.envW, info)
			if err != nil {
				t.Error(err)
			}
			connected <- e
		}()
		w, _, err := NewWeavelet(l.weaR, l.weaW)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Hello(&protos.WeaveletInfo{DialAddr: "a", Features: features}); err != nil {
			t.Fatal(err)
		}
		e := <-connected

		// The first request waits for Serve, the second one is being answered.
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := e.GetHealth(ctx, &protos.GetHealthRequest{}); !errors.Is(err, context.Canceled) {
			t.Errorf("a request that was left: %v", err)
		}
		begun, ended := make(chan struct{}, 2), make(chan error, 2)
		beside(t, func() {
			w.Serve(t.Context(), &weavelet{health: func(ctx context.Context) (*protos.GetHealthReply, error) {
				begun <- struct{}{}
				<-ctx.Done()
				ended <- context.Cause(ctx)
				return nil, nil
			}})
		})
		ctx, cancel = context.WithCancel(t.Context())
		beside(t, func() { <-begun; cancel() })
		if _, err := e.GetHealth(ctx, &protos.GetHealthRequest{}); !errors.Is(err, context.Canceled) {
			t.Errorf("a request that was left: %v", err)
		}
		if features != nil {
			if err := <-ended; err != errLeft {
				t.Errorf("the request ends with %v", err)
			}
		}
		e.Close()
		w.Close()
		if features == nil {
			if err := <-ended; err == errLeft {
				t.Error("a weavelet without features is told")
			}
		}
	}
}
