//go:build unix

package envelope_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/divisi-go/divisi/envelope"
	"github.com/divisi-go/divisi/envelope/protos"
)

// hello is the binary of an application.
var hello string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "envelope")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	hello = filepath.Join(dir, "hello")
	build := exec.Command("go", "build", "-o", hello, "../examples/hello")
	build.Stderr = os.Stderr
	code := 1
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "cannot build the example:", err)
	} else {
		code = m.Run()
	}
	os.RemoveAll(dir)
	os.Exit(code)
}

// handler refuses components and certificates, and keeps what is told.
type handler struct {
	refused chan string
	logged  chan *protos.LogEntry
}

func newHandler() *handler {
	return &handler{refused: make(chan string, 1000), logged: make(chan *protos.LogEntry, 1000)}
}

var errRefused = errors.New("the test says no")

func (h *handler) ActivateComponent(_ context.Context, r *protos.ActivateComponentRequest) (*protos.ActivateComponentReply, error) {
	h.refused <- r.Component
	return nil, errRefused
}

func (h *handler) GetListenerAddress(context.Context, *protos.GetListenerAddressRequest) (*protos.GetListenerAddressReply, error) {
	return &protos.GetListenerAddressReply{Address: "localhost:0"}, nil
}

func (h *handler) ExportListener(context.Context, *protos.ExportListenerRequest) (*protos.ExportListenerReply, error) {
	return &protos.ExportListenerReply{}, nil
}

func (h *handler) GetSelfCertificate(context.Context, *protos.GetSelfCertificateRequest) (*protos.GetSelfCertificateReply, error) {
	return nil, errRefused
}

func (h *handler) VerifyClientCertificate(context.Context, *protos.VerifyClientCertificateRequest) (*protos.VerifyClientCertificateReply, error) {
	return nil, errRefused
}

func (h *handler) VerifyServerCertificate(context.Context, *protos.VerifyServerCertificateRequest) (*protos.VerifyServerCertificateReply, error) {
	return nil, errRefused
}

func (h *handler) HandleTraceSpans(context.Context, *protos.TraceSpans) error { return nil }

func (h *handler) HandleLogEntry(_ context.Context, e *protos.LogEntry) error {
	h.logged <- e
	return nil
}

// find returns the first log entry whose message has a text.
func (h *handler) find(t *testing.T, text string) *protos.LogEntry {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		select {
		case e := <-h.logged:
			if strings.Contains(e.Msg+strings.Join(e.Attrs, " "), text) {
				return e
			}
		case <-deadline:
			t.Fatalf("no log entry has %q", text)
		}
	}
}

// start starts a weavelet, by a shell if there is a script.
func start(t *testing.T, script string) *envelope.Envelope {
	t.Helper()
	config := &protos.AppConfig{Name: "app", Binary: hello, Env: []string{"HELLO=" + hello}}
	if script != "" {
		config.Binary, config.Args = "/bin/sh", []string{"-c", script}
	}
	e, err := envelope.NewEnvelope(t.Context(), &protos.EnvelopeInfo{
		App: "app", DeploymentId: "v1", Id: "w1", RunMain: true, InternalAddress: "localhost:0",
	}, config)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// TestKilled: the death of a weavelet is seen although its pipes stay open, because a child of it,
// which lives on, holds them.
func TestKilled(t *testing.T) {
	for _, name := range []string{"weavelet", "grandchild"} {
		t.Run(name, func(t *testing.T) {
			script, file := "", filepath.Join(t.TempDir(), "pid")
			if name == "grandchild" {
				script = fmt.Sprintf(`sleep 600 & echo $! >'%s'; exec "$HELLO"`, file)
			}
			e, h := start(t, script), newHandler()
			held := func() {}
			if script != "" {
				held = holder(t, file)
			}
			served := make(chan error, 1)
			go func() { served <- e.Serve(h) }()
			if got := e.GetHealth(); got != protos.HealthStatus_HEALTHY {
				t.Errorf("it is %v", got)
			}
			held()
			if err := syscall.Kill(e.Pid(), syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			var exit *exec.ExitError
			select {
			case err := <-served:
				if !errors.As(err, &exit) {
					t.Errorf("Serve returns %v", err)
				}
			case <-time.After(time.Minute):
				t.Fatal("Serve goes on after the process has been killed")
			}
			held()
			if got := e.GetHealth(); got != protos.HealthStatus_TERMINATED {
				t.Errorf("after its death it is %v", got)
			}
			if err := e.UpdateComponents(nil); err == nil {
				t.Error("a dead weavelet takes components")
			}
		})
	}
}

// holder returns a function that fails the test unless the process whose number is in a file lives,
// and holds what the weavelet reads from, writes to and prints to. It lives as long as the test.
func holder(t *testing.T, file string) func() {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var pid int
	if _, err := fmt.Sscan(string(text), &pid); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Kill(pid, syscall.SIGKILL) })
	pipes := func() (list []string) {
		if err := syscall.Kill(pid, 0); err != nil {
			t.Fatalf("the child of the weavelet does not live: %v", err)
		}
		for fd := 1; fd <= 4 && runtime.GOOS == "linux"; fd++ {
			target, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", pid, fd))
			if err != nil || !strings.HasPrefix(target, "pipe:") {
				t.Fatalf("the child of the weavelet has %s as descriptor %d, %v", target, fd, err)
			}
			list = append(list, target)
		}
		return list
	}
	first := pipes()
	return func() {
		t.Helper()
		if now := pipes(); !slices.Equal(now, first) {
			t.Errorf("the child of the weavelet held %q, and holds %q", first, now)
		}
	}
}

func TestPrintedLines(t *testing.T) {
	before := time.Now().UnixMicro()
	e, h := start(t, `echo early; echo wrong >&2; exec "$HELLO"`), newHandler()
	served := make(chan error, 1)
	go func() { served <- e.Serve(h) }()
	var got []string
	for len(got) < 2 {
		select {
		case entry := <-h.logged:
			if entry.Level != "stdout" && entry.Level != "stderr" {
				continue // what the weavelet logs comes another way, and may be sooner
			}
			got = append(got, entry.Level+" "+entry.Msg)
			if entry.TimeMicros < before || entry.TimeMicros > time.Now().UnixMicro() {
				t.Errorf("%q has the time %v", entry.Msg, time.UnixMicro(entry.TimeMicros))
			}
			if entry.App != "app" || entry.Version != "v1" || entry.Node != "w1" {
				t.Errorf("entry %+v", entry)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("after %q nothing comes", got)
		}
	}
	slices.Sort(got)
	if want := []string{"stderr wrong", "stdout early"}; !slices.Equal(got, want) {
		t.Errorf("entries %q, want %q", got, want)
	}
	if err := syscall.Kill(e.Pid(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-served
}

func TestHandlerErrorsReachTheWeavelet(t *testing.T) {
	e, h := start(t, ""), newHandler()
	served := make(chan error, 1)
	go func() { served <- e.Serve(h) }()
	if component := <-h.refused; !strings.HasSuffix(component, "/Reverser") {
		t.Errorf("it asks for %s", component)
	}
	h.find(t, errRefused.Error())
	if err := syscall.Kill(e.Pid(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-served
}

func TestContextEndsProcess(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	e, err := envelope.NewEnvelope(ctx, &protos.EnvelopeInfo{
		App: "app", DeploymentId: "v1", Id: "w1", InternalAddress: "localhost:0",
	}, &protos.AppConfig{Binary: hello})
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := e.Serve(newHandler()); err == nil {
		t.Error("a process that was ended ends without an error")
	}
}

func TestNoApplication(t *testing.T) {
	for binary, want := range map[string]string{
		"/bin/true":         "is the binary an application?",
		"/nowhere/program":  "cannot start /nowhere/program",
		filepath.Dir(hello): "cannot start",
	} {
		e, err := envelope.NewEnvelope(t.Context(), &protos.EnvelopeInfo{App: "app", DeploymentId: "v1", Id: "w1"},
			&protos.AppConfig{Binary: binary})
		if err == nil {
			e.Close()
			t.Errorf("%s is a weavelet", binary)
		} else if !strings.Contains(err.Error(), want) && !strings.Contains(err.Error(), "handshake") {
			t.Errorf("%s: %v", binary, err)
		}
	}
}
