//go:build unix

package envelope_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/divisi-go/divisi/envelope"
	"github.com/divisi-go/divisi/envelope/protos"
)

// dialler is a weavelet that was started with the address of a socket.
type dialler struct {
	t      *testing.T
	cmd    *exec.Cmd
	socket *net.UnixListener
	lines  chan string // that it has printed on its standard error
}

func startDialler(t *testing.T) *dialler {
	t.Helper()
	path := filepath.Join(t.TempDir(), "deployer.sock")
	socket, err := net.ListenUnix("unix", &net.UnixAddr{Net: "unix", Name: path})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { socket.Close() })

	cmd := exec.Command(hello)
	cmd.Env = []string{"DIVISI_ENVELOPE=unix://" + path}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })

	d := &dialler{t, cmd, socket, make(chan string, 1000)}
	go func() {
		defer close(d.lines)
		for scanner := bufio.NewScanner(stderr); scanner.Scan(); {
			d.lines <- scanner.Text()
		}
	}()
	return d
}

// accept accepts its next conversation.
func (d *dialler) accept(info *protos.EnvelopeInfo, refusal error) (*envelope.Envelope, error) {
	d.t.Helper()
	d.socket.SetDeadline(time.Now().Add(time.Minute)) // it has perhaps ended
	conn, err := d.socket.Accept()
	if err != nil {
		d.t.Fatal(err)
	}
	return envelope.Accept(d.t.Context(), conn, func(pid int) (*protos.EnvelopeInfo, error) {
		if pid != d.cmd.Process.Pid && (runtime.GOOS == "linux" || runtime.GOOS == "darwin") {
			d.t.Errorf("process %d dials, not %d", pid, d.cmd.Process.Pid)
		}
		return info, refusal
	})
}

// deploy accepts its next conversation as a deployer with one process.
func (d *dialler) deploy(info *protos.EnvelopeInfo) *onlyOne {
	d.t.Helper()
	e, err := d.accept(info, nil)
	if err != nil {
		d.t.Fatal(err)
	}
	if e.Pid() != d.cmd.Process.Pid {
		d.t.Errorf("process %d", e.Pid())
	}
	h := &onlyOne{weavelet: e, listeners: make(chan string, 1)}
	go e.Serve(h)
	return h
}

// says waits until it has printed a line with a text.
func (d *dialler) says(text string) {
	d.t.Helper()
	deadline := time.After(time.Minute)
	for {
		select {
		case line, ok := <-d.lines:
			if strings.Contains(line, text) {
				return
			}
			if !ok {
				d.t.Fatalf("it has ended without saying %q", text)
			}
		case <-deadline:
			d.t.Fatalf("it does not say %q", text)
		}
	}
}

func page(t *testing.T, address string) {
	t.Helper()
	resp, err := http.Get("http://" + address + "/?name=gopher")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if text, err := io.ReadAll(resp.Body); err != nil || string(text) != "Hello, rehpog!\n" {
		t.Errorf("the page is %q, %v", text, err)
	}
}

const reverser = "github.com/divisi-go/divisi/examples/hello/Reverser"

// TestTakeover: a weavelet that dials serves on when its deployer has gone, and tells the next one
// everything. A deployer that has been succeeded is refused, and without one the weavelet can be ended.
func TestTakeover(t *testing.T) {
	d := startDialler(t)
	notMine := errors.New("process of another deployer")
	if _, err := d.accept(nil, notMine); !errors.Is(err, notMine) {
		t.Errorf("Accept: %v", err)
	}
	d.says(notMine.Error())

	info := &protos.EnvelopeInfo{
		App: "hello", DeploymentId: "d1", Id: "w1", RunMain: true, InternalAddress: "localhost:0",
		Features: []string{protos.FeatureLogLines}, Epoch: 1,
	}
	first := d.deploy(info)
	address := <-first.listeners
	page(t, address)
	if got := first.weavelet.GetHealth(); got != protos.HealthStatus_HEALTHY {
		t.Errorf("it is %v", got)
	}
	if err := first.weavelet.UpdateComponents([]string{reverser}); err != nil {
		t.Fatal(err)
	}
	first.weavelet.Close()
	page(t, address)
	if got := first.weavelet.GetHealth(); got != protos.HealthStatus_UNKNOWN {
		t.Errorf("after the conversation it is %v", got)
	}

	stale := *info
	stale.Epoch = 0
	if _, err := d.accept(&stale, nil); !errors.Is(err, envelope.ErrRefused) || !strings.Contains(err.Error(), "epoch 0 has been succeeded") {
		t.Errorf("a deployer of epoch 0: %v", err)
	}
	second := d.deploy(&protos.EnvelopeInfo{Features: info.Features, Epoch: 2})
	got := second.weavelet.WeaveletInfo()
	if got.Id != "w1" || len(got.Components) != 1 || got.Components[0] != reverser || got.Draining ||
		len(got.Routes) != 1 || got.Routes[0].Component != reverser || !got.Routes[0].Local ||
		len(got.Listeners) != 1 || got.Listeners[0].Listener != "hello" || got.Listeners[0].Address != address {
		t.Errorf("the second deployer is told %+v", got)
	}
	if again := <-second.listeners; again != address {
		t.Errorf("the listener is at %s, and was at %s", again, address)
	}
	page(t, address)

	d.socket.Close()
	second.weavelet.Close()
	d.says("the deployer has gone: going on without one")
	page(t, address)
	if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	for range d.lines {
	}
	if err := d.cmd.Wait(); err != nil {
		t.Errorf("it ends with %v", err)
	}
}

// pair is a deployer of two processes, one for each component of examples/hello.
type pair struct {
	envelope.EnvelopeHandler
	weavelet  *envelope.Envelope
	reverser  string      // where the other one is
	listeners chan string // their addresses
}

func (d *pair) ActivateComponent(_ context.Context, r *protos.ActivateComponentRequest) (*protos.ActivateComponentReply, error) {
	return &protos.ActivateComponentReply{}, d.weavelet.UpdateRoutingInfo(
		&protos.RoutingInfo{Component: r.Component, Replicas: []string{d.reverser}})
}

func (d *pair) GetListenerAddress(context.Context, *protos.GetListenerAddressRequest) (*protos.GetListenerAddressReply, error) {
	return &protos.GetListenerAddressReply{Address: "localhost:0"}, nil
}

func (d *pair) ExportListener(_ context.Context, r *protos.ExportListenerRequest) (*protos.ExportListenerReply, error) {
	d.listeners <- r.Address
	return &protos.ExportListenerReply{}, nil
}

func (d *pair) HandleTraceSpans(context.Context, *protos.TraceSpans) error { return nil }

// load makes requests until it is to stop, and returns how many.
func load(t *testing.T, address string, stop <-chan struct{}) (requests int) {
	for {
		select {
		case <-stop:
			return requests
		default:
		}
		requests++
		resp, err := http.Get("http://" + address + "/?name=gopher")
		if err != nil {
			t.Errorf("request %d: %v", requests, err)
			return requests
		}
		text, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || string(text) != "Hello, rehpog!\n" {
			t.Errorf("request %d: %q, %v", requests, text, err)
		}
	}
}

// TestTakeovers: under load, whatever becomes of deployers, no request fails.
func TestTakeovers(t *testing.T) {
	front, back := startDialler(t), startDialler(t)
	info := func(id string, epoch int) *protos.EnvelopeInfo {
		return &protos.EnvelopeInfo{
			App: "hello", DeploymentId: "d1", Id: id, RunMain: id == "front", InternalAddress: "localhost:0",
			Features: []string{protos.FeatureLogLines}, Epoch: uint64(epoch),
		}
	}

	stop := make(chan struct{})
	var loading sync.WaitGroup
	defer loading.Wait()
	defer close(stop)
	for epoch := 1; epoch <= 20; epoch++ {
		b, err := back.accept(info("back", epoch), nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := b.UpdateComponents([]string{reverser}); err != nil {
			t.Fatal(err)
		}
		f, err := front.accept(info("front", epoch), nil)
		if err != nil {
			t.Fatal(err)
		}
		d := &pair{weavelet: f, reverser: b.WeaveletInfo().DialAddr, listeners: make(chan string, 1)}
		go f.Serve(d)
		if epoch%2 == 1 {
			address := <-d.listeners // every second deployer goes before it has heard of it
			page(t, address)
			if epoch == 1 {
				loading.Go(func() { t.Logf("%d requests", load(t, address, stop)) })
			}
		}
		f.Close()
		b.Close()
	}
}
