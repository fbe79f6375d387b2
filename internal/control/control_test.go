package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// application stands in for a deployer.
type application struct {
	name    string
	metrics error
	profile error
	stopped chan struct{} // closed by Stop
	over    chan struct{}
}

func newApplication(name string) *application {
	return &application{name: name, stopped: make(chan struct{}), over: make(chan struct{})}
}

func (a *application) Status() Status {
	return Status{App: a.name, State: "running", Replicas: []ReplicaStatus{{Name: "main-0@/" + a.name}}}
}

func (a *application) Metrics(context.Context) ([]ReplicaMetrics, error) {
	return []ReplicaMetrics{{Name: "main-0@/" + a.name, Metrics: []Metric{{Name: "calls", Value: 3}}}}, a.metrics
}

func (a *application) Profile(_ context.Context, group, kind string, length time.Duration) ([]ReplicaProfile, error) {
	if group == "none" {
		return nil, a.profile
	}
	return []ReplicaProfile{{Name: "r", Profile: fmt.Appendf(nil, "%s %s %v", group, kind, length)}}, a.profile
}

func (a *application) Stop()                 { close(a.stopped) }
func (a *application) Over() <-chan struct{} { return a.over }

// runtimeDir returns a folder whose path is short enough for sockets.
func runtimeDir(t *testing.T) string {
	dir, err := os.MkdirTemp("/tmp", "divisi-test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// serve serves an application on a socket that has its name, and returns what ends it and waits for the end.
func serve(t *testing.T, s *Server, dir string) (end func()) {
	t.Helper()
	s.Name = s.App.Status().App
	if err := s.Listen(filepath.Join(dir, s.Name+".sock")); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	ended := false
	end = func() {
		if ended {
			return
		}
		ended = true
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(end)
	return end
}

func TestRequests(t *testing.T) {
	app := newApplication("shop")
	s := &Server{App: app, Controller: Controller{Pid: 4711, Page: "http://127.0.0.1:1", LogDir: "/logs"}}
	serve(t, s, runtimeDir(t))
	c := NewClient(s.Controller.Socket, "shop")
	ctx := t.Context()
	if status, err := c.Status(ctx); err != nil || status.App != "shop" || len(status.Replicas) != 1 {
		t.Errorf("status: %+v, %v", status, err)
	}
	if status, err := c.Status(ctx); err != nil || status.Controller != s.Controller || s.Controller.Socket == "" {
		t.Errorf("the controller: %+v, %v", status.Controller, err)
	}
	if m, err := c.Metrics(ctx); err != nil || m[0].Metrics[0].Value != 3 {
		t.Errorf("metrics: %v, %v", m, err)
	}
	if p, err := c.Profile(ctx, "cart", "cpu", time.Second); err != nil || string(p.Profiles[0].Profile) != "cart cpu 1s" {
		t.Errorf("profile: %v, %v", p, err)
	}
	app.profile = errors.New("s: no answer")
	if p, err := c.Profile(ctx, "", "heap", 0); err != nil || p.Failed != "s: no answer" || len(p.Profiles) != 1 {
		t.Errorf("a profile that is not whole: %v, %v", p, err)
	}
}

// hinted is an error with a way out, as other packages have them.
type hinted struct{ error }

func (hinted) Hint() string { return "try again" }

func TestRefusals(t *testing.T) {
	app := newApplication("shop")
	app.metrics, app.profile = errors.New("no metrics"), hinted{errors.New("no profile")}
	s := &Server{App: app, Logs: func(_ context.Context, v url.Values, emit func(any) error) error {
		if v.Get("odd") != "" {
			return &Error{Code: Invalid, Text: "odd parameters"}
		}
		return errors.Join(emit("first"), errors.New("broken stream"))
	}}
	serve(t, s, runtimeDir(t))
	c := NewClient(s.Controller.Socket, "shop")
	ctx := t.Context()
	shown := 0
	show := func(json.RawMessage) error { shown++; return nil }
	_, metricsErr := c.Metrics(ctx)
	_, profileErr := c.Profile(ctx, "none", "cpu", time.Second)
	_, kindErr := c.Profile(ctx, "", "block", time.Second)
	_, lengthErr := c.Profile(ctx, "", "cpu", 11*time.Minute)
	_, otherErr := NewClient(s.Controller.Socket, "store").Status(ctx)
	for _, tt := range []struct {
		err  error
		want Error
	}{
		{metricsErr, Error{"no metrics", Failed, ""}},
		{profileErr, Error{"no profile", Failed, "try again"}},
		{kindErr, Error{`kind "block" is neither cpu nor heap`, Invalid, ""}},
		{lengthErr, Error{`duration "11m0s" is not between 0 and 10m0s`, Invalid, ""}},
		{otherErr, Error{`no application "store" is behind this door`, NotFound,
			"this is the door of shop: divisi where lists them"}},
		{c.Stream(ctx, "logs", url.Values{"odd": {"1"}}, nil), Error{"odd parameters", Invalid, ""}},
		{c.Stream(ctx, "logs", nil, show), Error{"broken stream", Failed, ""}},
		{c.Stream(ctx, "none", nil, show), Error{"there is no GET /v1/apps/shop/none", NotFound, ""}},
		{c.do(ctx, "DELETE", "/v1/servers", nil, nil), Error{"there is no DELETE /v1/servers", NotFound, ""}},
	} {
		var e *Error
		if !errors.As(tt.err, &e) || *e != tt.want {
			t.Errorf("got %#v, want %#v", tt.err, tt.want)
		}
	}
	if shown != 1 {
		t.Errorf("%d values of the broken stream are shown, want 1", shown)
	}
}

func TestStream(t *testing.T) {
	lines := make(chan string)
	s := &Server{App: newApplication("shop"), Logs: func(ctx context.Context, v url.Values, emit func(any) error) error {
		for {
			select {
			case l := <-lines:
				if err := emit(v.Get("prefix") + l); err != nil {
					return err
				}
			case <-ctx.Done():
				return emit("bye") // what is left to say at the end is said
			}
		}
	}}
	end := serve(t, s, runtimeDir(t))
	c := NewClient(s.Controller.Socket, "shop")
	got := make(chan string)
	over := make(chan error)
	go func() {
		over <- c.Stream(t.Context(), "logs", url.Values{"prefix": {"<&"}}, func(m json.RawMessage) error {
			got <- string(m)
			return nil
		})
	}()
	for _, l := range []string{"a", "b"} {
		lines <- l
		if g := <-got; g != `"<&`+l+`"` { // each comes by itself
			t.Errorf("got %s after %s", g, l)
		}
	}
	go end()
	if g := <-got; g != `"bye"` {
		t.Errorf("got %s at the end", g)
	}
	if err := <-over; err != nil {
		t.Errorf("a stream ends with %v when its application does", err)
	}
	end()
}

func TestStreamEndsWithItsReader(t *testing.T) {
	began, ended := make(chan struct{}), make(chan struct{})
	s := &Server{App: newApplication("shop"), Logs: func(ctx context.Context, _ url.Values, emit func(any) error) error {
		close(began)
		<-ctx.Done()
		close(ended)
		return nil
	}}
	serve(t, s, runtimeDir(t))
	ctx, cancel := context.WithCancel(t.Context())
	over := make(chan error)
	go func() { over <- NewClient(s.Controller.Socket, "shop").Stream(ctx, "logs", nil, nil) }()
	<-began
	cancel()
	if err := <-over; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	<-ended
}

// Stop returns when the server is gone as well, not with the first answer.
func TestStop(t *testing.T) {
	app := newApplication("shop")
	s := &Server{App: app}
	end := serve(t, s, runtimeDir(t))
	over := make(chan error)
	go func() { over <- NewClient(s.Controller.Socket, "shop").Stop(t.Context()) }()
	<-app.stopped
	select {
	case err := <-over:
		t.Fatalf("stopped with %v before the application has", err)
	default:
	}
	close(app.over)
	end()
	if err := <-over; err != nil {
		t.Error(err)
	}
}

func TestStopGivesUp(t *testing.T) {
	app := newApplication("shop")
	s := &Server{App: app}
	serve(t, s, runtimeDir(t))
	ctx, cancel := context.WithCancel(t.Context())
	over := make(chan error)
	go func() { over <- NewClient(s.Controller.Socket, "shop").Stop(ctx) }()
	<-app.stopped
	cancel()
	if err := <-over; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestFind(t *testing.T) {
	dir := runtimeDir(t)
	serve(t, &Server{App: newApplication("b")}, dir)
	endA := serve(t, &Server{App: newApplication("a")}, dir)

	// Of a process that is gone; looking leaves it alone.
	left := filepath.Join(dir, "left.sock")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: left, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()

	doors := []string{filepath.Join(dir, "b.sock"), left, filepath.Join(dir, "a.sock"), filepath.Join(dir, "none.sock")}
	names := func() string {
		t.Helper()
		list, err := Find(t.Context(), doors)
		if err != nil {
			t.Error(err)
		}
		var names []string
		for _, app := range list {
			names = append(names, app.Status.App)
		}
		return strings.Join(names, " ")
	}
	if got := names(); got != "a b" {
		t.Errorf("found %q, want a b", got)
	}
	if _, err := os.Lstat(left); err != nil {
		t.Errorf("looking has removed a socket: %v", err)
	}
	endA()
	if got := names(); got != "b" {
		t.Errorf("found %q after a has ended, want b", got)
	}
}

// An application that hangs is reported, and the others are found.
func TestFindWithSilentApplication(t *testing.T) {
	dir := runtimeDir(t)
	shop := &Server{App: newApplication("shop")}
	serve(t, shop, dir)
	silent := filepath.Join(dir, "silent.sock")
	l, err := net.Listen("unix", silent)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			io.WriteString(conn, "HTTP/1.1 500 Broken\r\nContent-Length: 0\r\n\r\n")
			conn.Close()
		}
	}()
	list, err := Find(t.Context(), []string{shop.Controller.Socket, silent})
	if len(list) != 1 || list[0].Status.App != "shop" {
		t.Errorf("found %+v", list)
	}
	if err == nil || !strings.Contains(err.Error(), silent) {
		t.Errorf("got %v, want an error about %s", err, silent)
	}
}
