package process

import (
	"context"
	"errors"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/divisi-go/divisi/envelope"
	"github.com/divisi-go/divisi/envelope/protos"
	"github.com/divisi-go/divisi/internal/inherit"
	"github.com/divisi-go/divisi/internal/name"
	"github.com/divisi-go/divisi/internal/weavelet"
)

// reporter is a deployer that hands on the reports of its weavelet.
type reporter struct {
	envelope.EnvelopeHandler // the methods that are not expected
	reports                  chan *protos.ReportRequest
	reply                    *protos.ReportReply // to those that want to leave; nil for an error
}

func (r *reporter) HandleLogEntry(context.Context, *protos.LogEntry) error { return nil }

func (r *reporter) HandleReport(_ context.Context, req *protos.ReportRequest) (*protos.ReportReply, error) {
	r.reports <- req
	if req.Leaving != "" && r.reply == nil {
		return nil, errWrong
	}
	return r.reply, nil
}

// deployed runs a weavelet with a program, if it has one, that a deployer with some features has started. It returns the other end of
// the conversation, how to ask the weavelet to end, and how it has ended.
func deployed(t *testing.T, app weavelet.Application, h envelope.EnvelopeHandler, d deployment, features ...string) (
	e *envelope.Envelope, asked chan<- string, ended <-chan error) {
	t.Helper()
	in, toWeavelet, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	fromWeavelet, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	reasons, over := make(chan string), make(chan error, 1)
	var serving sync.WaitGroup
	t.Cleanup(serving.Wait)
	serving.Go(func() {
		d.files, d.asked, d.gone = inherit.Files{In: in, Out: out}, reasons, func() {}
		over <- serveDeployed(context.WithoutCancel(t.Context()), app, d)
	})
	e, err = envelope.Attach(t.Context(), fromWeavelet, toWeavelet, &protos.EnvelopeInfo{
		App: "app", DeploymentId: "v1", Id: "w1", RunMain: d.program != nil, Features: features,
		InternalAddress: "localhost:0",
	})
	if err != nil {
		t.Fatal(err)
	}
	serving.Go(func() { e.Serve(h) })
	t.Cleanup(func() { e.Close() })
	return e, reasons, over
}

// TestLeave: a weavelet that somebody asks to end leaves it to its deployer to drain it, and ends with
// an error only if the deployer does not want the end.
func TestLeave(t *testing.T) {
	for name, tc := range map[string]struct {
		features []string
		reply    *protos.ReportReply
		drain    bool
		want     error
	}{
		"the deployer drains it":       {[]string{protos.FeatureReports}, &protos.ReportReply{}, true, errStop},
		"the deployer has asked":       {[]string{protos.FeatureReports}, &protos.ReportReply{End: true}, false, errStop},
		"the deployer does not answer": {[]string{protos.FeatureReports}, nil, false, errSignal},
		"a deployer without reports":   {[]string{"extensions"}, nil, false, errStop},
		"a deployer of v0.20":          {nil, nil, false, errStop},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, map[string]*behaviour{"A": {}})
			h := &reporter{reports: make(chan *protos.ReportRequest, 10), reply: tc.reply}
			e, asked, ended := deployed(t, w.app, h, deployment{}, tc.features...)
			if err := e.UpdateComponents([]string{"t/p/A"}); err != nil {
				t.Fatal(err)
			}
			asked <- "a reason"
			if tc.drain {
				for (<-h.reports).Leaving != "a reason" {
				}
				select {
				case err := <-ended:
					t.Fatalf("it has not waited: %v", err)
				default:
				}
				if err := e.Drain(t.Context(), weavelet.StopTime); err != nil {
					t.Fatal(err)
				}
				asked <- "the deployer's own"
			}
			if err := <-ended; !errors.Is(err, tc.want) {
				t.Errorf("it ends with %v, want %v", err, tc.want)
			}
		})
	}
}

// TestFinished: only a program that has returned without an error is finished.
func TestFinished(t *testing.T) {
	for _, want := range []error{nil, errWrong} {
		w := newWorld(t, map[string]*behaviour{"A": {}})
		h := &reporter{reports: make(chan *protos.ReportRequest, 10), reply: &protos.ReportReply{}}
		d := deployment{program: func(context.Context, *weavelet.Weavelet, func(context.Context) error) error {
			return want
		}}
		_, _, ended := deployed(t, w.app, h, d, protos.FeatureReports)
		if err := <-ended; !errors.Is(err, want) {
			t.Errorf("it ends with %v, want %v", err, want)
		}
		finished := false
		for range len(h.reports) {
			finished = finished || (<-h.reports).Finished
		}
		if finished != (want == nil) {
			t.Errorf("%v: finished %v", want, finished)
		}
	}
}

// TestReadiness: from the moment that components are asked for, a weavelet is not ready before they
// are. It says why, and, without being asked, when they are.
func TestReadiness(t *testing.T) {
	proceed := make(chan struct{})
	w := newWorld(t, map[string]*behaviour{
		"A": {Init: func(context.Context, self) error {
			<-proceed
			return nil
		}},
		"B": {},
	})
	h := &reporter{reports: make(chan *protos.ReportRequest, 10), reply: &protos.ReportReply{}}
	e, _, _ := deployed(t, w.app, h, deployment{}, protos.FeatureReports)
	reply, err := e.Health(t.Context())
	if err != nil || reply.Ready || reply.Status != protos.HealthStatus_HEALTHY {
		t.Errorf("before anything was asked for: %+v, %v", reply, err)
	}
	if err := e.UpdateComponents([]string{"t/p/A", "t/p/B"}); err != nil {
		t.Fatal(err)
	}
	reply, err = e.Health(t.Context())
	if err != nil || reply.Ready || len(reply.Reasons) == 0 || !strings.Contains(strings.Join(reply.Reasons, "\n"), "p.A") {
		t.Errorf("while A starts: %+v, %v", reply, err)
	}
	close(proceed)
	report := <-h.reports
	if report.Health == nil || !report.Health.Ready || len(report.Health.HealthyComponents) != 2 || len(report.Health.Reasons) != 0 {
		t.Errorf("the report is %+v", report.Health)
	}
}

// TestReadyWithMain: a weavelet is not ready before the main component is, also if the others that it
// hosts are there first.
func TestReadyWithMain(t *testing.T) {
	w := newWorld(t, map[string]*behaviour{"A": {}, "B": {}})
	begin := make(chan struct{})
	h := &reporter{reports: make(chan *protos.ReportRequest, 10), reply: &protos.ReportReply{}}
	e, _, _ := deployed(t, w.app, h, deployment{
		hosts: []string{"t/p/A"},
		program: func(ctx context.Context, w *weavelet.Weavelet, _ func(context.Context) error) error {
			<-begin
			if err := w.Host(ctx, "t/p/A"); err != nil {
				return err
			}
			<-ctx.Done()
			return context.Cause(ctx)
		},
	}, protos.FeatureReports)
	defer close(begin)

	for _, components := range [][]string{{string(name.Main)}, {string(name.Main), "t/p/B"}} {
		if err := e.UpdateComponents(components); err != nil {
			t.Fatal(err)
		}
		reply, err := e.Health(t.Context())
		if err != nil || reply.Ready || !strings.Contains(strings.Join(reply.Reasons, "\n"), "p.A") {
			t.Errorf("asked for %v: %+v, %v", components, reply, err)
		}
	}

	begin <- struct{}{}
	report := <-h.reports
	if report.Health == nil || !report.Health.Ready || len(report.Health.HealthyComponents) != 2 {
		t.Errorf("the report is %+v", report.Health)
	}
}
