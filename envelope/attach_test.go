//go:build unix

package envelope_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/divisi-go/divisi/envelope"
	"github.com/divisi-go/divisi/envelope/protos"
	"github.com/divisi-go/divisi/internal/pipe"
)

// oldWeavelet answers as v0.20 does: with metrics that have changed.
type oldWeavelet struct {
	pipe.WeaveletHandler
	asked int
}

func (w *oldWeavelet) GetHealth(context.Context, *protos.GetHealthRequest) (*protos.GetHealthReply, error) {
	return &protos.GetHealthReply{Status: protos.HealthStatus_HEALTHY}, nil
}

func (w *oldWeavelet) GetMetrics(context.Context, *protos.GetMetricsRequest) (*protos.GetMetricsReply, error) {
	w.asked++
	update := &protos.MetricUpdate{}
	switch w.asked {
	case 1:
		update.Defs = []*protos.MetricDef{{Id: 1, Name: "a"}, {Id: 2, Name: "b"}}
		update.Values = []*protos.MetricValue{{Id: 1, Value: 1}, {Id: 2, Value: 1}}
	case 2:
		update.Values = []*protos.MetricValue{{Id: 2, Value: 2}}
	}
	return &protos.GetMetricsReply{Update: update}, nil
}

// attach connects an envelope with a weavelet in this process.
func attach(t *testing.T, h pipe.WeaveletHandler, info *protos.WeaveletInfo) (*envelope.Envelope, error) {
	t.Helper()
	weaR, envW := io.Pipe()
	envR, weaW := io.Pipe()
	var serving sync.WaitGroup
	t.Cleanup(serving.Wait)
	serving.Go(func() {
		w, _, err := pipe.NewWeavelet(weaR, weaW)
		if err != nil {
			t.Error(err)
			return
		}
		if w.Hello(info) == nil {
			w.Serve(t.Context(), h)
		}
	})
	return envelope.Attach(t.Context(), envR, envW, &protos.EnvelopeInfo{App: "app", DeploymentId: "v1", Id: "w1"})
}

func TestAttach(t *testing.T) {
	e, err := attach(t, &oldWeavelet{}, &protos.WeaveletInfo{
		DialAddr: "tcp://a:1", Pid: 77, Version: &protos.SemVer{Minor: 20},
	})
	if err != nil {
		t.Fatal(err)
	}
	if e.Pid() != 77 || e.WeaveletInfo().DialAddr != "tcp://a:1" {
		t.Errorf("process %d, %+v", e.Pid(), e.WeaveletInfo())
	}
	for asked, want := range [][2]float64{{1, 1}, {1, 2}, {1, 2}} {
		got, err := e.GetMetrics()
		if err != nil || len(got) != 2 || got[0].Value != want[0] || got[1].Value != want[1] {
			t.Errorf("answer %d: %v, %v; want the values %v", asked, got, err, want)
		}
	}
	if err := e.Drain(t.Context(), 0); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("Drain: %v", err)
	}
	served := make(chan error, 1)
	go func() { served <- e.Serve(newHandler()) }()
	if got := e.GetHealth(); got != protos.HealthStatus_HEALTHY {
		t.Errorf("it is %v", got)
	}
	e.Close() // its death is told
	if err := <-served; err == nil {
		t.Error("Serve returns no reason")
	}
	if got := e.GetHealth(); got != protos.HealthStatus_TERMINATED {
		t.Errorf("after its death it is %v", got)
	}
}

func TestVersion(t *testing.T) {
	for want, v := range map[string]*protos.SemVer{
		"no version of the protocol, not 0.20": nil,
		"version 0.19 of":                      {Minor: 19},
		"version 0.22 of":                      {Minor: 22},
		"version 1.20 of":                      {Major: 1, Minor: 20},
	} {
		_, err := attach(t, &oldWeavelet{}, &protos.WeaveletInfo{DialAddr: "tcp://a:1", Version: v})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("version %v: %v", v, err)
		}
	}
}
