package system_test

import (
	"context"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/divisi-go/divisi/system"
	"github.com/divisi-go/divisi/system/systemtest"
)

// hello builds the application that says hello.
func hello(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "hello")
	if printed, err := exec.Command("go", "build", "-o", binary, "../examples/hello").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, printed)
	}
	return binary
}

// TestApp: an application of components is a member of a nursery, beside any other server, and has the name and
// the listeners that it was given.
func TestApp(t *testing.T) {
	t.Parallel()
	ctx, n, h := systemtest.New(t)
	l, err := h.Listen(ctx, n, "hello", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.Ensure(ctx, n, system.Spec{Name: "foreign", Program: sleeper, Ready: "log:sleeps"}); err != nil {
		t.Fatal(err)
	}
	binary := hello(t)
	app, err := h.App(ctx, n, system.Application{Name: "greeter", Program: binary, Listeners: []*system.Listener{l}})
	if err != nil {
		t.Fatal(err)
	}
	if app.ID() != "test/greeter" || app.Outcome() != system.Started || app.Address("hello") != l.Addr() || app.Address("none") != "" {
		t.Errorf("%s was %s, and listens at %q", app.ID(), app.Outcome(), app.Address("hello"))
	}
	if got := greeting(t, app.Address("hello")); got != "Hello, xuaeb!\n" {
		t.Errorf("the answer is %q", got)
	}

	own, err := h.App(ctx, n, system.Application{Name: "second", Program: binary, Config: "[divisi]\nreplicas = 1\n"})
	if err != nil {
		t.Fatal(err)
	}
	if got := greeting(t, own.Address("hello")); got != "Hello, xuaeb!\n" {
		t.Errorf("the answer is %q", got)
	}
	refuses(ctx, t, n, h, binary)
}

func greeting(t *testing.T, address string) string {
	t.Helper()
	answer, err := http.Get("http://" + address + "/?name=beaux")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// refuses has what cannot be run be said before anything starts.
func refuses(ctx context.Context, t *testing.T, n *system.Nursery, h *system.Host, binary string) {
	t.Helper()
	l, err := h.Listen(ctx, n, "web", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		app   system.Application
		words []string
	}{
		{system.Application{Name: "a", Program: "sleep"}, []string{"has no components", "divisi generate"}},
		{system.Application{Name: "b", Program: binary, Listeners: []*system.Listener{l}}, []string{"no listener web: it has hello"}},
		{system.Application{Name: "c", Program: binary, Config: "[divisi]\nreplica = 1"}, []string{"configuration of test/c:2:1", "replicas"}},
		{system.Application{Name: "d", Program: filepath.Join(t.TempDir(), "none")}, []string{"there is no program"}},
		{system.Application{Name: "not good", Program: binary}, []string{"not good"}},
	} {
		_, err := h.App(ctx, n, tt.app)
		has(t, err, append(tt.words, "application "+tt.app.Name, "/test", "system/app_test.go:")...)
	}
}

// TestAppSimulated: a host that is simulated has no applications of components, and says so.
func TestAppSimulated(t *testing.T) {
	t.Parallel()
	ctx, n, h := systemtest.Simulate(t, system.Program{Strategy: system.AllFail}, nil)
	_, err := h.App(ctx, n, system.Application{Name: "greeter"})
	has(t, err, "where a host is simulated")
}
