// Package systemtest runs the start functions of a system in a test: in temporary folders, with a keeper in
// the test's own process.
//
//	func TestOrders(t *testing.T) {
//		ctx, n, h := systemtest.New(t)
//		positiond, err := StartPositiond(ctx, n, h, systemtest.Dir(t, h, "positiond"))
//		...
//	}
//
// Whatever fails fails the test, by its name and with its last words. When the test ends, everything is
// stopped, in the reverse order of its start.
package systemtest

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/keeper/hold"
	"github.com/divisi-go/divisi/internal/server"
	"github.com/divisi-go/divisi/system"
)

// name is that of every system in a test; its servers are in the domain of that name.
const name = "test"

// New returns a nursery and a host for the time of a test. The context ends when something has failed, or
// with the test.
func New(t testing.TB) (context.Context, *system.Nursery, *system.Host) {
	t.Helper()
	return NewWith(t, system.Program{Strategy: system.AllFail})
}

// NewWith is [New] for a program that is not as it is there: it may have another strategy than that the
// failure of one ends all.
func NewWith(t testing.TB, p system.Program) (context.Context, *system.Nursery, *system.Host) {
	t.Helper()
	return begin(t, p, open(t))
}

// begin runs a program whose body is the test.
func begin(t testing.TB, p system.Program, below *server.Host) (context.Context, *system.Nursery, *system.Host) {
	p.Name = name
	if p.Log == nil {
		p.Log = slog.New(slog.NewTextHandler(t.Output(), nil))
	}

	ctx, fail := context.WithCancelCause(t.Context())
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	type begun struct {
		nursery *system.Nursery
		host    *system.Host
	}
	begins := make(chan begun, 1)
	over := make(chan struct{})
	go func() {
		defer close(over)
		// The test is the body: it starts things until it ends.
		err := p.RunOn(running, below, func(ctx context.Context, n *system.Nursery, h *system.Host) error {
			begins <- begun{n, h}
			<-ctx.Done()
			return context.Cause(ctx)
		})
		if err != nil {
			t.Error(err)
		}
		fail(errors.Join(errors.New("the system has ended"), err))
	}()
	t.Cleanup(func() {
		stop()
		<-over
	})
	b := <-begins
	return ctx, b.nursery, b.host
}

// open opens a keeper.
func open(t testing.TB) *server.Host {
	t.Helper()
	dir, err := os.MkdirTemp("", "system") // the path of a socket in that of a test may be too long
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	k, err := hold.Open(filepath.Join(dir, "keeper"), filepath.Join(dir, "logs"), filepath.Join(dir, "run"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := k.Close(); err != nil {
			t.Error(err)
		}
	})
	session, err := k.Attach(t.Context(), keeper.Claim{Domain: "/" + name, Who: t.Name()})
	if err != nil {
		t.Fatal(err)
	}
	return &server.Host{Keeper: session, Logs: k.LogDir, Data: filepath.Join(dir, "data"), Find: find}
}

// find finds programs. That of the test is the test's own.
func find(word string) (server.Program, error) {
	if word != "" {
		return server.Find(word)
	}
	own, err := os.Executable()
	if err != nil {
		return server.Program{}, err
	}
	return server.Find(own)
}

// Dir returns a folder of the test on a host, or ends the test.
func Dir(t testing.TB, h *system.Host, name string) system.Dir {
	t.Helper()
	dir, err := h.Dir(name)
	if err != nil {
		t.Fatal(err)
	}
	return dir
}
