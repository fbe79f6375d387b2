//go:build linux

package system_test

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/divisi-go/divisi/internal/agent"
	"github.com/divisi-go/divisi/internal/home"
	"github.com/divisi-go/divisi/internal/keeper/door"
	"github.com/divisi-go/divisi/system"
	"github.com/divisi-go/divisi/system/systemtest"
)

// elsewhere returns a machine that has nothing: a state folder of its own on this one.
func elsewhere(t *testing.T) agent.Here {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "host")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	state := filepath.Join(dir, "state")
	t.Cleanup(func() { // what has ended there by then
		runtime, _ := filepath.Glob(filepath.Join(dir, "divisi", "*"))
		for _, sockets := range runtime {
			client, err := door.Find(context.Background(), home.Home{Dir: state, Runtime: sockets})
			if errors.Is(err, door.ErrNone) {
				continue
			}
			if err == nil {
				err = client.Shutdown(context.Background())
			}
			if err != nil {
				t.Error(err)
			}
		}
	})
	return agent.Here{Called: "other", Env: []string{"DIVISI_HOME=" + state, "XDG_RUNTIME_DIR=" + dir}}
}

// TestOpen: on a host where nothing is installed everything is as on this machine.
func TestOpen(t *testing.T) {
	t.Parallel()
	m := elsewhere(t)
	ctx, n, h := systemtest.New(t)
	other := systemtest.Must(system.Open(ctx, n, m))(t)
	if again := systemtest.Must(system.Open(ctx, n, m))(t); again != other {
		t.Error("opened again it is another host")
	}

	dir := systemtest.Must(other.Dir("web"))(t)
	if !strings.HasPrefix(dir.String(), "other:") {
		t.Errorf("the folder is %v", dir)
	}
	if _, err := dir.ReadFile("page"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
	if err := dir.WriteFile("page", []byte("text")); err != nil {
		t.Error(err)
	}
	if text, err := dir.ReadFile("page"); err != nil || string(text) != "text" {
		t.Errorf("the file has %q, %v", text, err)
	}
	if i, err := dir.Stat("page"); err != nil || i.Size() != 4 || i.IsDir() {
		t.Errorf("the file is %v, %v", i, err)
	}
	if _, err := dir.On(h); err == nil {
		t.Error("a folder of another host can be used on this one")
	}

	l := listen(t, ctx, n, other)
	p := systemtest.Must(other.Ensure(ctx, n, system.Spec{
		Name: "web", Program: web, Args: []any{"hello"}, Listeners: []*system.Listener{l}, Ready: "http:/", Dir: dir,
	}))(t)
	if p.Outcome() != system.Started {
		t.Errorf("it was %s", p.Outcome())
	}
	conn := systemtest.Must(other.Dial(ctx, "tcp", l.Addr()))(t)
	defer conn.Close()
	if _, err := io.WriteString(conn, "GET / HTTP/1.0\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if text, err := io.ReadAll(conn); err != nil || !strings.Contains(string(text), "hello ") {
		t.Errorf("it answers %q, %v", text, err)
	}
	if _, err := other.Dial(ctx, "tcp", "127.0.0.1:1"); err == nil || !strings.Contains(err.Error(), "on other") {
		t.Errorf("nobody listens there: %v", err)
	}

	exit, err := other.Run(ctx, n, system.Spec{Name: "say", Program: "echo", Args: []any{"words"}})
	if err != nil || exit.Output != "words\n" {
		t.Errorf("%+v, %v", exit, err)
	}
	_, err = other.Ensure(ctx, n, system.Spec{Name: "bad", Program: failing, Ready: "notify", Policy: system.Policy{Restart: system.Temporary}})
	has(t, err, "bad@/test", "word 11")
	_, err = other.Ensure(ctx, n, system.Spec{Name: "none", Program: "no-such-program"})
	has(t, err, "no-such-program", "other")
}

// TestComponentsElsewhere: an application of components runs on another host as one process, in the place of replicas.
func TestComponentsElsewhere(t *testing.T) {
	t.Parallel()
	binary := hello(t)
	m := elsewhere(t)
	ctx, n, _ := systemtest.New(t)
	other := systemtest.Must(system.Open(ctx, n, m))(t)
	_, err := other.App(ctx, n, system.Application{Name: "greeter", Program: binary})
	has(t, err, "application greeter", "the host other is another one than this machine", "use Ensure", "system/hosts_test.go:")

	l, err := other.Listen(ctx, n, "hello", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	systemtest.Must(other.Ensure(ctx, n, system.Spec{
		Name: "greeter", Program: binary, Listeners: []*system.Listener{l}, Ready: "notify",
	}))(t)
	if got := greeting(t, l.Addr()); got != "Hello, xuaeb!\n" {
		t.Errorf("the answer is %q", got)
	}
}

// TestOpenRefusals: a machine that is none is an error that says why.
func TestOpenRefusals(t *testing.T) {
	t.Parallel()
	ctx, n, _ := systemtest.New(t)
	_, err := system.Open(ctx, n, agent.Here{Called: "local"})
	has(t, err, `"local"`)
	bad := agent.Here{Called: "bad", Env: []string{"DIVISI_HOME=/proc/nothing"}}
	_, err = system.Open(ctx, n, bad)
	has(t, err, "host bad", "/proc/nothing", "choose another state folder (DIVISI_HOME)")
}
