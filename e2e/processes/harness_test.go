//go:build linux || darwin

package processes_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/divisi-go/divisi/codegen"
	"github.com/divisi-go/divisi/internal/config"
	"github.com/divisi-go/divisi/internal/control"
	"github.com/divisi-go/divisi/internal/deployer"
	"github.com/divisi-go/divisi/internal/event"
	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/keeper/hold"
	"github.com/divisi-go/divisi/internal/launch"
	"github.com/divisi-go/divisi/internal/name"
)

// patience bounds every wait for a condition.
const patience = 45 * time.Second

// component is the full name of a component of the test's application.
func component(name string) string {
	return "github.com/divisi-go/divisi/e2e/processes/testapp/" + name
}

const mainComponent = "github.com/divisi-go/divisi/Main"

var buildDir string

func TestMain(m *testing.M) {
	var err error
	if buildDir, err = os.MkdirTemp("", "divisi-test"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(buildDir)
	os.Exit(code)
}

// builds are the programs that tests run, each built when the first test needs it.
var builds = map[string]func() (string, error){
	"shop":    builder("shop", "github.com/divisi-go/divisi/examples/shop"),
	"load":    builder("load", "github.com/divisi-go/divisi/examples/shop/load"),
	"testapp": builder("testapp", "github.com/divisi-go/divisi/e2e/processes/testapp"),
}

func builder(name, pkg string) func() (string, error) {
	return sync.OnceValues(func() (string, error) {
		binary := filepath.Join(buildDir, name)
		if out, err := exec.Command("go", "build", "-o", binary, pkg).CombinedOutput(); err != nil {
			return "", fmt.Errorf("cannot build %s: %w\n%s", name, err, out)
		}
		return binary, nil
	})
}

func binary(t *testing.T, name string) string {
	t.Helper()
	path, err := builds[name]()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// specOf returns the specification of a program, with a configuration.
func specOf(t *testing.T, program, toml string) deployer.Spec {
	t.Helper()
	path := binary(t, program)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	spec := deployer.Spec{Name: program, Binary: path, Components: codegen.FindInfos(data)}
	var names []string
	for _, c := range spec.Components {
		names = append(names, c.Name)
	}
	if spec.Config, err = config.Parse("test.toml", toml, config.Options{Components: names}); err != nil {
		t.Fatal(err)
	}
	return spec
}

// shopConfig is that of the example, on any free port.
func shopConfig(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../examples/shop/shop.toml")
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(string(text), "localhost:9000", "127.0.0.1:0")
}

// deployment is an application that runs as processes of a keeper.
type deployment struct {
	*deployer.Deployer
	t      *testing.T
	logs   string
	url    string
	events event.Log
}

// deploy runs an application until the test ends. The options' and the launcher's zero values are
// those of every deployment.
func deploy(t *testing.T, spec deployer.Spec, o deployer.Options, wrap func(deployer.Launcher) deployer.Launcher) *deployment {
	t.Helper()
	dir, err := os.MkdirTemp("", "dv") // paths of sockets are short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	k, err := hold.Open(filepath.Join(dir, "k"), filepath.Join(dir, "logs"), "")
	if err != nil {
		t.Fatal(err)
	}
	domain := name.Domain(spec.Name)
	session, err := k.Attach(t.Context(), keeper.Claim{Domain: domain, Who: t.Name()})
	if err != nil {
		t.Fatal(errors.Join(err, k.Close()))
	}
	run := &deployment{t: t, logs: k.LogDir(domain)}
	o.RuntimeDir = dir
	o.Events = &run.events
	follow(t, &run.events)
	var launcher deployer.Launcher = launch.NewLauncher(session)
	if wrap != nil {
		launcher = wrap(launcher)
	}
	if run.Deployer, err = deployer.New(spec, launcher, o); err != nil {
		t.Fatal(errors.Join(err, k.Close()))
	}
	done := make(chan error, 1)
	go func() { done <- run.Serve(context.WithoutCancel(t.Context())) }()
	t.Cleanup(func() {
		run.Kill()
		if err := errors.Join(<-done, k.Close()); err != nil {
			t.Errorf("at the end: %v", err)
		}
	})
	status := run.until("a listener is open", func(s control.Status) bool { return len(s.Listeners) > 0 })
	run.url = status.Listeners[0].URL
	return run
}

// follow shows events in the log of the test, until everything else of the test is cleaned up.
func follow(t *testing.T, events *event.Log) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	over := make(chan struct{})
	go func() {
		defer close(over)
		_ = events.Follow(ctx, func(r event.Record) error {
			t.Log(r.Event)
			return nil
		})
	}()
	t.Cleanup(func() {
		cancel()
		<-over
	})
}

// eventsOf returns the events of a kind that a replica had so far.
func (d *deployment) eventsOf(replica string, kind event.Kind) (found []event.Record) {
	for _, r := range d.events.List() {
		if server, _ := event.About(r.Event); server.Name == replica && r.Event.Kind() == kind {
			found = append(found, r)
		}
	}
	return found
}

// ready waits until so many replicas run and all of them are ready.
func (d *deployment) ready(replicas int) control.Status {
	d.t.Helper()
	return d.until(fmt.Sprintf("%d replicas are ready", replicas), func(s control.Status) bool {
		for _, r := range s.Replicas {
			if r.State != "ready" {
				return false
			}
		}
		return len(s.Replicas) == replicas
	})
}

// until waits for a condition of the status.
func (d *deployment) until(what string, condition func(control.Status) bool) (status control.Status) {
	d.t.Helper()
	if !poll(d.t, func() bool {
		status = d.Status()
		return condition(status)
	}) {
		d.t.Fatalf("not within %v: %s\n%+v", patience, what, status)
	}
	return status
}

// poll repeats a question until the answer is yes, and reports whether that came in time.
func poll(t *testing.T, ask func() bool) bool {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); !ask(); {
		select {
		case <-tick.C:
		case <-t.Context().Done():
			return false
		}
		if time.Now().After(end) {
			return false
		}
	}
	return true
}

// inGroup returns the replicas of a group, by its number.
func inGroup(s control.Status, group string) (found []control.ReplicaStatus) {
	for _, r := range s.Replicas {
		if r.Group == group {
			found = append(found, r)
		}
	}
	return found
}

// named returns a replica.
func named(s control.Status, name string) control.ReplicaStatus {
	for _, r := range s.Replicas {
		if r.Name == name {
			return r
		}
	}
	return control.ReplicaStatus{}
}

// page returns a page, or an error unless it was found.
func page(ctx context.Context, url string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	client := http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", response.Status, body)
	}
	return string(body), err
}

// get returns a page, which must be found.
func (d *deployment) get(path string) string {
	d.t.Helper()
	body, err := page(d.t.Context(), d.url+path)
	if err != nil {
		d.t.Fatalf("GET %s: %v", path, err)
	}
	return body
}

// freeAddress returns an address that nobody listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// alone runs a program as one process until the test ends, and returns the address of its pages.
func alone(t *testing.T, program, toml string) string {
	t.Helper()
	address := freeAddress(t)
	file := filepath.Join(t.TempDir(), program+".toml")
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(toml, "127.0.0.1:0", address)), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary(t, program))
	cmd.Env = append(os.Environ(), "DIVISI_CONFIG="+file)
	cmd.Stdout, cmd.Stderr = t.Output(), t.Output()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(cmd.Process.Signal(syscall.SIGTERM), cmd.Wait()); err != nil {
			t.Errorf("%s alone: %v", program, err)
		}
	})
	if !poll(t, func() bool {
		c, err := net.Dial("tcp", address)
		if err == nil {
			c.Close()
		}
		return err == nil
	}) {
		t.Fatalf("%s does not listen at %s", program, address)
	}
	return "http://" + address
}
