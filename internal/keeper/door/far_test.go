//go:build linux

package door

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/divisi-go/divisi/internal/home"
	"github.com/divisi-go/divisi/internal/keeper"
)

// elsewhere is the way to the keeper of a home as from another host: bytes alone pass, as long as the line is not cut.
type elsewhere struct {
	home home.Home

	mu    sync.Mutex // guards what follows
	cut   bool
	conns []net.Conn
}

var _ Way = (*elsewhere)(nil)

var errCutOff = errors.New("the line is cut")

func (w *elsewhere) Dial(ctx context.Context) (net.Conn, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.cut {
		return nil, errCutOff
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", w.home.Keeper().Door)
	if err != nil {
		return nil, errors.New("no connection") // as another host says it
	}
	w.conns = append(w.conns, conn)
	return struct{ net.Conn }{conn}, nil
}

func (w *elsewhere) Start(ctx context.Context) error {
	w.mu.Lock()
	cut := w.cut
	w.mu.Unlock()
	if cut {
		return errCutOff
	}
	c, err := Attach(ctx, w.home, keeper.Claim{})
	if err != nil {
		return err
	}
	return c.Release()
}

func (w *elsewhere) String() string { return "elsewhere" }

// be cuts the line, or mends it.
func (w *elsewhere) be(cut bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut = cut
	for _, c := range w.conns {
		c.Close()
	}
	w.conns = nil
}

// TestFar: a client on another host has all but files, and neither the end of a keeper nor of the line is one of servers.
func TestFar(t *testing.T) {
	h := newHome(t)
	w := &elsewhere{home: h}
	c, err := AttachBy(t.Context(), w, shop("far"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Release() })
	long := shell("a", "exec sleep 1000")
	for _, name := range []string{"A", "B", "C", "D", "E", "F"} {
		long.Env = append(long.Env, name+"="+strings.Repeat("x", 100<<10))
	}
	p := run(t, c, long)
	spec := func(when string) {
		t.Helper()
		got, err := c.Spec(t.Context(), p.ID)
		if err != nil || len(got.Env) != len(long.Env) || got.Env[6] != long.Env[6] {
			t.Errorf("%s: %v, and the specification has %d variables", when, err, len(got.Env))
		}
	}
	spec("at first")

	socket := keeper.Socket{Domain: "/shop", Key: "web", Network: "tcp", Address: "127.0.0.1:0"}
	if _, err := c.Listen(t.Context(), socket); err != nil {
		t.Error(err)
	}
	if _, err := c.Take(t.Context(), "/shop", "web"); err == nil || !strings.Contains(err.Error(), "between hosts") {
		t.Errorf("a socket comes to another host: %v", err)
	}

	if _, err := c.Upgrade(t.Context(), executable(t)); err != nil {
		t.Error(err)
	}
	spec("after an upgrade")
	waited := make(chan keeper.Exit, 1)
	go func() {
		exit, _ := c.Wait(t.Context(), p.ID)
		waited <- exit
	}()
	runs := func(when string) {
		t.Helper()
		list, err := c.List(t.Context(), "/shop")
		if err != nil || len(list) != 1 || list[0].Pid != p.Pid {
			t.Errorf("%s: %v, %+v", when, err, list)
		}
	}
	kill(t, h)
	runs("after the keeper was killed")

	w.be(true)
	if err := c.Answers(t.Context(), false); err != nil {
		t.Error(err)
	}
	w.be(false)
	runs("after the line was cut")
	if err := c.Signal(t.Context(), p.ID, syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	if exit := <-waited; exit.Signal != "terminated" {
		t.Errorf("it %v", exit)
	}
}

// TestFarRefusals: where no keeper can be had, the error says why.
func TestFarRefusals(t *testing.T) {
	w := &elsewhere{home: newHome(t), cut: true}
	if _, err := AttachBy(t.Context(), w, shop("far")); !errors.Is(err, errCutOff) || !strings.Contains(err.Error(), "elsewhere") {
		t.Error(err)
	}
}
