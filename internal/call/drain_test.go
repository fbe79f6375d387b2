package call_test

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/divisi-go/divisi/codegen"
	"github.com/divisi-go/divisi/internal/call"
	"github.com/divisi-go/divisi/internal/call/balance"
	"github.com/divisi-go/divisi/internal/call/calltest"
)

// TestDrainWaitsForGreetings: who has connected and not said who they are may be about to call, so a drain waits for them.
// Whoever connects after it is not greeted.
func TestDrainWaitsForGreetings(t *testing.T) {
	h := calltest.ServeUnix(t, call.ServerOptions{Linger: time.Minute})
	connect := func() net.Conn {
		nc, err := net.Dial("unix", strings.TrimPrefix(h.Addr, "unix://"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { nc.Close() })
		return nc
	}
	early := connect()
	calltest.Eventually(t, "it arrives", func() bool { n, _, _ := h.Arrivals(); return n == 1 })
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := h.Drain(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a drain beside a connection that is greeted: %v", err)
	}

	early.Close()
	if err := h.Drain(t.Context()); err != nil {
		t.Error(err)
	}
	late := connect()
	if err := late.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := late.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("a connection after the drain: %v", err)
	}
}

func TestDrainWaits(t *testing.T) {
	started, release := make(chan bool, 1), make(chan bool)
	h := calltest.ServeUnix(t, call.ServerOptions{Lookup: calltest.Handlers{1: calltest.Blocking(started, release, "done")}.Lookup})
	unaware := dial(t, h)
	answer := make(chan string, 1)
	go func() { answer <- string(calltest.MustCall(t, unaware, &call.Request{Method: codegen.Key{1}})) }()
	<-started
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := h.Drain(ctx); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "1 calls are in flight") {
		t.Errorf("%v", err)
	}
	// A caller that has not heard of it, and one that comes now, are sent away.
	calltest.Eventually(t, "it hears of it", func() bool { return !unaware.Usable() })
	unaware.Ignore()
	if reply, err := unaware.Call(t.Context(), &call.Request{Method: codegen.Key{1}}); reply.Status != codegen.StatusDraining || err != nil {
		t.Errorf("%v, %v", reply.Status, err)
	}
	unaware.Retire()
	late := newPool(t, balance.PoolOptions{}, h)
	if _, err := late.Call(ctx, &call.Request{Method: codegen.Key{1}}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	late.Close()
	drained := make(chan error, 1)
	go func() { drained <- h.Drain(t.Context()) }()
	close(release)
	if got := <-answer; got != "done" {
		t.Errorf("the call in flight gets %q", got)
	}
	if err := <-drained; err != nil {
		t.Error(err)
	}
}
