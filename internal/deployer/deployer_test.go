package deployer

import (
	"cmp"
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
	"testing"
	"time"

	"github.com/divisi-go/divisi/codegen"
	"github.com/divisi-go/divisi/internal/config"
	"github.com/divisi-go/divisi/internal/control"
	"github.com/divisi-go/divisi/internal/event"
)

// build builds a program once for all tests.
func build(t *testing.T, program string) string {
	t.Helper()
	buildMu.Lock()
	defer buildMu.Unlock()
	binary := filepath.Join(buildDir, program)
	if _, err := os.Stat(binary); err == nil {
		return binary
	}
	pkg := "../../examples/" + program
	if program == "testapp" {
		pkg = "./testdata/testapp"
	}
	out, err := exec.Command("go", "build", "-o", binary, pkg).CombinedOutput()
	if err != nil {
		t.Fatalf("cannot build %s: %v\n%s", program, err, out)
	}
	return binary
}

var (
	buildMu  sync.Mutex
	buildDir string
)

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

// specOf returns the specification of a program, with a configuration.
func specOf(t *testing.T, program, toml string) Spec {
	t.Helper()
	binary := build(t, program)
	data, err := os.ReadFile(binary)
	if err != nil {
		t.Fatal(err)
	}
	spec := Spec{Name: program, Binary: binary, Components: codegen.FindInfos(data)}
	var names []string
	for _, c := range spec.Components {
		names = append(names, c.Name)
	}
	if spec.Config, err = config.Parse("test.toml", toml, config.Options{Components: names}); err != nil {
		t.Fatal(err)
	}
	return spec
}

// deployment is a deployer that serves.
type deployment struct {
	*Deployer
	t        *testing.T
	launcher *execLauncher
	cancel   context.CancelFunc
	done     chan error
	events   event.Log
	url      string
}

func deploy(t *testing.T, spec Spec) *deployment {
	t.Helper()
	return deployWith(t, spec, Options{})
}

func deployWith(t *testing.T, spec Spec, o Options) *deployment {
	t.Helper()
	run := &deployment{t: t, launcher: newExecLauncher(t), done: make(chan error, 1)}
	o.RuntimeDir = cmp.Or(o.RuntimeDir, t.TempDir())
	o.Events = &run.events
	follow(t, &run.events)
	var err error
	if run.Deployer, err = New(spec, run.launcher, o); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	run.cancel = cancel
	go func() { run.done <- run.Serve(ctx) }()
	t.Cleanup(func() {
		run.Kill()
		<-run.Over()
	})
	run.ready()
	run.url = run.Status().Listeners[0].URL
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

// ready waits until all replicas are ready.
func (d *deployment) ready() {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(d.t.Context(), 30*time.Second)
	defer cancel()
	if err := d.WaitReady(ctx); err != nil {
		d.t.Fatalf("not ready: %v\n%+v", err, d.Status())
	}
}

// page returns the body of a page.
func (d *deployment) page(path string) (string, error) {
	client := http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Get(d.url + path)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = errors.New(res.Status)
	}
	return string(body), err
}

// get returns the body of a page, which must be found.
func (d *deployment) get(path string) string {
	d.t.Helper()
	body, err := d.page(path)
	if err != nil {
		d.t.Fatalf("GET %s: %v: %s", path, err, body)
	}
	return body
}

// stop stops everything in order.
func (d *deployment) stop() {
	d.t.Helper()
	d.cancel()
	select {
	case err := <-d.done:
		if err != nil {
			d.t.Errorf("Serve: %v", err)
		}
	case <-time.After(20 * time.Second):
		d.t.Fatalf("not stopped: %+v", d.Status())
	}
}

// until waits for a condition of the status.
func (d *deployment) until(what string, condition func(control.Status) bool) control.Status {
	d.t.Helper()
	deadline := time.After(30 * time.Second)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		status := d.Status()
		if condition(status) {
			return status
		}
		select {
		case <-tick.C:
		case <-deadline:
			d.t.Fatalf("not so: %s\n%+v", what, status)
		}
	}
}

func TestHello(t *testing.T) {
	t.Parallel()
	for _, mtls := range []bool{false, true} {
		t.Run(fmt.Sprintf("mtls=%t", mtls), func(t *testing.T) {
			d := deploy(t, specOf(t, "hello", fmt.Sprintf("[process]\nmtls = %t\n", mtls)))
			if got := d.get("/?name=Divisi"); got != "Hello, isiviD!\n" {
				t.Errorf("got %q", got)
			}
			status := d.Status()
			if status.State != "running" || len(status.Replicas) != 4 {
				t.Errorf("status %+v", status)
			}
			d.stop()
		})
	}
}

// A socket that a killed process has left behind does not keep its replica from starting.
func TestLeftSocket(t *testing.T) {
	t.Parallel()
	spec := specOf(t, "hello", "")
	spec.Version = "one"
	dir := t.TempDir()

	left := filepath.Join(dir, stemOf("main-0@/hello", spec.Version)+".sock")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: left, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()

	d := deployWith(t, spec, Options{RuntimeDir: dir})
	r := find(d.Status(), "main-0@/hello", 0)
	if r.Address != "unix://"+left || r.Restarts != 0 {
		t.Errorf("the replica is %+v, want one without restarts at %s", r, left)
	}
	d.stop()
	if list, err := os.ReadDir(dir); err != nil || len(list) > 0 {
		t.Errorf("left behind: %v, %v", list, err)
	}
}

func TestUpgradeUnderLoad(t *testing.T) {
	t.Parallel()
	spec := specOf(t, "hello", "")
	d := deploy(t, spec)
	stop, failed := make(chan struct{}), make(chan error, 1)
	var wait sync.WaitGroup
	var served int
	wait.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			if body, err := d.page("/?name=ab"); err != nil || body != "Hello, ba!\n" {
				failed <- fmt.Errorf("%w: %s", err, body)
				return
			}
			served++
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	next := spec
	next.Version = "next"
	err := d.Upgrade(ctx, next)
	close(stop)
	wait.Wait()
	if err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-failed:
		t.Errorf("a request failed after %d: %v", served, err)
	default:
	}
	status := d.Status()
	if status.Version != "next" || len(status.Replicas) != 4 || served == 0 {
		t.Errorf("after %d requests: %+v", served, status)
	}
	d.stop()
}

func TestSpecErrors(t *testing.T) {
	t.Parallel()
	spec := specOf(t, "hello", "")
	spec.Replicas = map[string]int{"revrser": 3}
	_, err := New(spec, nil, Options{})
	if err == nil || !strings.Contains(err.Error(), "reverser") {
		t.Errorf("a mistyped group: %v", err)
	}
	spec.Replicas, spec.Components = nil, nil
	if _, err := New(spec, nil, Options{}); err == nil || !strings.Contains(err.Error(), "main component") {
		t.Errorf("no components: %v", err)
	}
}
