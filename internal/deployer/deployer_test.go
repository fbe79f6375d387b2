package deployer

import (
	"context"
	"fmt"
	"io"
	"log/slog"
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
)

// build builds an example once for all tests.
func build(t *testing.T, example string) string {
	t.Helper()
	buildMu.Lock()
	defer buildMu.Unlock()
	binary := filepath.Join(buildDir, example)
	if _, err := os.Stat(binary); err == nil {
		return binary
	}
	out, err := exec.Command("go", "build", "-o", binary,
		"github.com/divisi-go/divisi/examples/"+example).CombinedOutput()
	if err != nil {
		t.Fatalf("cannot build %s: %v\n%s", example, err, out)
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

// specOf returns the specification of an example, with a configuration.
func specOf(t *testing.T, example, toml string) Spec {
	t.Helper()
	binary := build(t, example)
	data, err := os.ReadFile(binary)
	if err != nil {
		t.Fatal(err)
	}
	spec := Spec{Name: example, Binary: binary, Components: codegen.FindInfos(data)}
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
	t      *testing.T
	cancel context.CancelFunc
	done   chan error
	url    string
}

func deploy(t *testing.T, spec Spec) *deployment {
	t.Helper()
	d, err := New(spec, newExecLauncher(t), Options{
		Logger:     slog.New(slog.NewTextHandler(t.Output(), nil)),
		RuntimeDir: t.TempDir(),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	run := &deployment{Deployer: d, t: t, cancel: cancel, done: make(chan error, 1)}
	go func() { run.done <- d.Serve(ctx) }()
	t.Cleanup(func() {
		d.Kill()
		<-d.Over()
	})
	run.ready()
	run.url = d.Status().Listeners[0].URL
	return run
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

// get returns the body of a page, which must be found.
func (d *deployment) get(path string) string {
	d.t.Helper()
	client := http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Get(d.url + path)
	if err != nil {
		d.t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		d.t.Fatalf("GET %s: %s, %v: %s", path, res.Status, err, body)
	}
	return string(body)
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
func (d *deployment) until(what string, condition func(Status) bool) Status {
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

func TestKilledReplicaIsReplaced(t *testing.T) {
	d := deploy(t, specOf(t, "hello", ""))
	var victim ReplicaStatus
	others := map[string]int{}
	for _, r := range d.Status().Replicas {
		if r.Group == "reverser" && r.Replica == 1 {
			victim = r
		} else {
			others[r.Name] = r.Pid
		}
	}
	if victim.Pid == 0 {
		t.Fatalf("no victim in %+v", d.Status())
	}
	if err := syscall.Kill(victim.Pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for range 50 {
		if got := d.get("/?name=ab"); got != "Hello, ba!\n" {
			t.Fatalf("got %q", got)
		}
	}
	status := d.until("replaced", func(s Status) bool {
		for _, r := range s.Replicas {
			if r.Name == victim.Name {
				return r.State == "ready" && r.Pid != victim.Pid && r.Restarts == 1
			}
		}
		return false
	})
	for _, r := range status.Replicas {
		if pid, ok := others[r.Name]; ok && pid != r.Pid {
			t.Errorf("%s was disturbed: process %d is now %d", r.Name, pid, r.Pid)
		}
	}
	d.stop()
}

func TestStoppedReplicaIsHung(t *testing.T) {
	d := deploy(t, specOf(t, "hello", ""))
	status := d.Status()
	victim := status.Replicas[len(status.Replicas)-1]
	if err := syscall.Kill(victim.Pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		if got := d.get("/?name=ab"); got != "Hello, ba!\n" {
			t.Fatalf("got %q", got)
		}
	}
	d.until("replaced", func(s Status) bool {
		for _, r := range s.Replicas {
			if r.Name == victim.Name {
				return r.State == "ready" && r.Pid != victim.Pid
			}
		}
		return false
	})
}

func TestUpgradeUnderLoad(t *testing.T) {
	spec := specOf(t, "hello", "")
	d := deploy(t, spec)
	stop, failed := make(chan struct{}), make(chan error, 1)
	var wait sync.WaitGroup
	var served int
	wait.Go(func() {
		client := http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
		for {
			select {
			case <-stop:
				return
			default:
			}
			res, err := client.Get(d.url + "/?name=ab")
			if err == nil {
				body, _ := io.ReadAll(res.Body)
				res.Body.Close()
				if string(body) != "Hello, ba!\n" {
					err = fmt.Errorf("%s: %s", res.Status, body)
				}
			}
			if err != nil {
				failed <- err
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

func TestKeysKeepTheirReplica(t *testing.T) {
	spec := specOf(t, "cache", "")
	spec.Replicas = map[string]int{"factorer": 3}
	d := deploy(t, spec)
	replicas := map[string]int{}
	for n := range 40 {
		path := fmt.Sprintf("/?n=%d", 1000+n)
		first, second := d.get(path), d.get(path)
		_, by, ok := strings.Cut(first, "by ")
		replica, _, _ := strings.Cut(by, ",")
		if !ok || !strings.Contains(second, "by "+replica+", cached: true") {
			t.Fatalf("first %q, then %q: another replica", first, second)
		}
		replicas[replica]++
	}
	if len(replicas) != 3 {
		t.Errorf("the keys are at %v, not at three replicas", replicas)
	}
	d.stop()
}
