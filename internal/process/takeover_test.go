package process

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/divisi-go/divisi/envelope"
	"github.com/divisi-go/divisi/envelope/protos"
	"github.com/divisi-go/divisi/internal/inherit"
	"github.com/divisi-go/divisi/internal/session"
	"github.com/divisi-go/divisi/internal/weavelet"
	"github.com/divisi-go/divisi/internal/weavelet/weavelettest"
)

// takeOver accepts the next conversation of a weavelet that dials, and serves it.
func takeOver(t *testing.T, socket net.Listener, info *protos.EnvelopeInfo) *plainHandler {
	t.Helper()
	conn, err := socket.Accept()
	if err != nil {
		t.Fatal(err)
	}
	e, err := envelope.Accept(t.Context(), conn, func(int) (*protos.EnvelopeInfo, error) { return info, nil })
	if err != nil {
		t.Fatal(err)
	}
	h := &plainHandler{e: e}
	h.serving.Go(func() { e.Serve(h) })
	t.Cleanup(func() {
		e.Close()
		h.serving.Wait()
	})
	return h
}

// TestWithoutDeployer: while there is no deployer, calls go on by the last routes, the components are
// looked at, and what is logged is kept. The next deployer learns the routes, how the components are, all
// metrics since the start, and the log.
func TestWithoutDeployer(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	socket, err := net.Listen("unix", path)
	if err != nil {
		t.Skipf("there are no Unix sockets here: %v", err)
	}
	defer socket.Close()

	var full atomic.Bool
	looked := make(chan struct{}) // gets an element from each look after B is full
	w := newWorld(t, map[string]*behaviour{
		"A": {Refs: []string{"B"}, Do: forward("B")},
		"B": {
			Routed: true,
			Do: func(ctx context.Context, n self, words []string) ([]string, error) {
				n.Host.Logger(ctx).Info("called with " + words[0])
				return words, nil
			},
			Ready: func() error {
				if !full.Load() {
					return nil
				}
				select {
				case looked <- struct{}{}:
				case <-t.Context().Done():
				}
				return errors.New("it is full")
			},
		},
	})
	words, called := make(chan string), make(chan error)
	program := func(ctx context.Context, app *weavelet.Weavelet, _ func(context.Context) error) error {
		for word := range words {
			_, err := client[a](t, app).Do(ctx, []string{word})
			called <- err
		}
		return nil
	}
	ended := make(chan error, 1)
	go func() {
		ended <- serveDeployed(context.WithoutCancel(t.Context()), w.app, deployment{
			files: inherit.Files{Envelope: path}, program: program, gone: func() {},
		})
	}()
	call := func(word string) {
		t.Helper()
		words <- word
		if err := <-called; err != nil {
			t.Errorf("the call with %s: %v", word, err)
		}
	}

	info := &protos.EnvelopeInfo{
		App: "app", DeploymentId: "v1", Id: "w1", RunMain: true, InternalAddress: "localhost:0",
		Features: []string{"extensions"}, Epoch: 1,
	}
	first := takeOver(t, socket, info)
	if err := first.e.UpdateComponents([]string{"t/p/A", "t/p/B"}); err != nil {
		t.Fatal(err)
	}
	call("attended")
	first.e.Close()
	call("alone")
	full.Store(true)
	// A look does not wait long for an answer, so the first one may end without. The second one has it, and
	// has ended when the third one begins.
	<-looked
	<-looked
	<-looked

	info.Epoch = 2
	second := takeOver(t, socket, info)
	told := second.e.WeaveletInfo()
	b := slices.IndexFunc(told.Routes, func(r *protos.RoutingInfo) bool { return r.Component == "t/p/B" })
	if !slices.Equal(told.Components, []string{"t/p/A", "t/p/B"}) || b < 0 ||
		!slices.Equal(told.Routes[b].Replicas, []string{told.DialAddr}) || told.Routes[b].Assignment.Version != 7 {
		t.Errorf("the second deployer is told %+v", told)
	}
	reply, err := second.e.Health(t.Context())
	// It may say as well what the second deployer has yet to hear.
	isFull := err == nil && slices.ContainsFunc(reply.Reasons, func(why string) bool { return strings.Contains(why, "it is full") })
	if err != nil || reply.Ready || !isFull {
		t.Errorf("health %+v, %v", reply, err)
	}
	full.Store(false)

	all, err := second.e.GetMetrics()
	if err != nil {
		t.Fatal(err)
	}
	count := 0.0
	for _, m := range all {
		if m.Name == "divisi_method_count" && m.Labels["component"] == "t/p/B" {
			count += m.Value
		}
	}
	if count != 2 {
		t.Errorf("%v calls of B are counted, want 2", count)
	}
	close(words)
	if err := <-ended; err != nil {
		t.Errorf("it ends with %v", err)
	}
	second.serving.Wait() // the weavelet hangs up when it has said all
	second.mu.Lock()
	defer second.mu.Unlock()
	if !slices.ContainsFunc(second.logs, func(e *protos.LogEntry) bool { return e.Msg == "called with alone" }) {
		t.Errorf("the second deployer has %d log entries, and not that of the call", len(second.logs))
	}
}

// TestDrainGoesOn: a drain does not end with the deployer that has asked for it. The next one knows of it,
// and waits for its end.
func TestDrainGoesOn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	socket, err := net.Listen("unix", path)
	if err != nil {
		t.Skipf("there are no Unix sockets here: %v", err)
	}
	defer socket.Close()

	draining, release, left := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	w := newWorld(t, map[string]*behaviour{"A": {Drain: func(ctx context.Context) error {
		close(draining)
		<-release
		left <- ctx.Err()
		return nil
	}}})
	asked, ended := make(chan string), make(chan error, 1)
	go func() {
		ended <- serveDeployed(context.WithoutCancel(t.Context()), w.app, deployment{
			files: inherit.Files{Envelope: path}, asked: asked, gone: func() {},
		})
	}()

	info := &protos.EnvelopeInfo{
		App: "app", DeploymentId: "v1", Id: "w1", InternalAddress: "localhost:0", Features: []string{"extensions"},
	}
	first := takeOver(t, socket, info)
	if err := first.e.UpdateComponents([]string{"t/p/A"}); err != nil {
		t.Fatal(err)
	}
	for ready := false; !ready; {
		reply, err := first.e.Health(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		ready = reply.Ready
	}
	var drain sync.WaitGroup
	drain.Go(func() {
		if err := first.e.Drain(t.Context(), weavelet.StopTime); err == nil {
			t.Error("the first deployer is told that the drain has ended")
		}
	})
	<-draining
	first.e.Close()
	drain.Wait()

	second := takeOver(t, socket, info)
	if !second.e.WeaveletInfo().Draining {
		t.Error("the second deployer is not told of the drain")
	}
	drain.Go(func() {
		if err := second.e.Drain(t.Context(), weavelet.StopTime); err != nil {
			t.Errorf("the second drain: %v", err)
		}
	})
	close(release)
	drain.Wait()
	if err := <-left; err != nil {
		t.Errorf("the first drain has ended early: %v", err)
	}
	asked <- "it is over"
	if err := <-ended; !errors.Is(err, errStop) {
		t.Errorf("it ends with %v", err)
	}
}

// TestBootRecord: a weavelet that finds no deployer starts from a record: it runs the components there, and
// calls others where the record says. The deployer that comes finds it at work.
func TestBootRecord(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	record, err := os.Create(filepath.Join(t.TempDir(), "record"))
	if err != nil {
		t.Fatal(err)
	}
	address := "unix://" + filepath.Join(t.TempDir(), "call")
	boot := session.Boot{
		Info: &protos.EnvelopeInfo{
			App: "app", DeploymentId: "v1", Id: "w1", RunMain: true, InternalAddress: address,
			Features: []string{"extensions"}, Epoch: 5,
		},
		Components: []string{"t/p/A", "t/p/B"},
		Routes:     []*protos.RoutingInfo{{Component: "t/p/B", Replicas: []string{address}}},
	}
	if err := boot.Write(record); err != nil {
		t.Fatal(err)
	}

	w := newWorld(t, map[string]*behaviour{"A": {Refs: []string{"B"}, Do: forward("B")}, "B": {}})
	called, release := make(chan error, 1), make(chan struct{})
	program := func(ctx context.Context, app *weavelet.Weavelet, _ func(context.Context) error) error {
		b, err := app.Client("test", weavelettest.IfaceOf[weavelettest.B](), "")
		if err != nil {
			return err
		}
		_, err = b.(doer).Do(ctx, []string{"alone"})
		called <- err
		<-release
		return nil
	}
	ended := make(chan error, 1)
	go func() {
		ended <- serveDeployed(context.WithoutCancel(t.Context()), w.app, deployment{
			files: inherit.Files{Envelope: path, Boot: record.Name()}, program: program, gone: func() {},
		})
	}()
	if err := <-called; err != nil {
		t.Errorf("the call: %v", err)
	}

	socket, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	told := takeOver(t, socket, &protos.EnvelopeInfo{Features: []string{"extensions"}, Epoch: 6}).e.WeaveletInfo()
	if told.Id != "w1" || told.DialAddr != address || !slices.Equal(told.Components, boot.Components) {
		t.Errorf("the deployer is told %+v", told)
	}
	close(release)
	if err := <-ended; err != nil {
		t.Errorf("it ends with %v", err)
	}
}
