//go:build unix

// Package desk is where tests of a keeper sit: a keeper, with a session that has a domain.
package desk

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/keeper/hold"
	"github.com/divisi-go/divisi/internal/keeper/keepertest/play"
	"github.com/divisi-go/divisi/internal/lifecycle"
)

// Domain is where tests start servers.
const Domain = "/test"

// Session is how one client uses a keeper.
type Session interface {
	Holder() keeper.Holder
	Release() error
	Fenced(context.Context) error

	Listen(context.Context, keeper.Socket) (keeper.Socket, error)
	Unlisten(ctx context.Context, domain, key string) error
	Take(ctx context.Context, domain, key string) (*os.File, error)
	Sockets(ctx context.Context, domain string) ([]keeper.Socket, error)
	Start(context.Context, keeper.Spec) (keeper.Proc, error)
	Signal(context.Context, keeper.ID, syscall.Signal) error
	Stop(context.Context, keeper.ID) (keeper.Exit, error)
	Wait(context.Context, keeper.ID) (keeper.Exit, error)
	List(ctx context.Context, domain string) ([]keeper.Proc, error)
	Spec(context.Context, keeper.ID) (keeper.Spec, error)
	Exits(ctx context.Context, domain string, after uint64) ([]keeper.ExitRecord, error)
	Next(ctx context.Context, domain string, after uint64) ([]keeper.Event, error)
	Put(ctx context.Context, domain, slot string, f *os.File) error
	Get(ctx context.Context, domain, slot string) (*os.File, error)
}

var _ Session = (*hold.Session)(nil)

// Keeper is a keeper that is tested.
type Keeper struct {
	Attach func(context.Context, keeper.Claim) (Session, error)
	Logs   string       // folder of all logs
	Close  func() error // kills what it holds; also called at the end of the test
}

// Desk is a keeper with a session that has the domain.
type Desk struct {
	Keeper
	Session
	Ctx context.Context // ends some time after the test should have
}

// Join returns another session, until the end of the test.
func (d *Desk) Join(t *testing.T, c keeper.Claim) Session {
	t.Helper()
	s, err := d.Attach(d.Ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Release() })
	return s
}

// Begin starts a server.
func (d *Desk) Begin(t *testing.T, s keeper.Spec) keeper.Proc {
	t.Helper()
	p, err := d.Start(d.Ctx, s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// Await returns how a start has ended, once it has.
func (d *Desk) Await(t *testing.T, id keeper.ID) keeper.Exit {
	t.Helper()
	exit, err := d.Wait(d.Ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	return exit
}

// Run starts a shell, and returns how it has ended.
func (d *Desk) Run(t *testing.T, name, script string) keeper.Exit {
	t.Helper()
	return d.Await(t, d.Begin(t, Shell(name, script)).ID)
}

// Until follows the events of a server until there is one of a kind, and returns it.
func (d *Desk) Until(t *testing.T, name string, after uint64, kind keeper.Kind) keeper.Event {
	t.Helper()
	for {
		list, err := d.Next(d.Ctx, Domain, after)
		if err != nil {
			t.Fatalf("no event %s: %v", kind, err)
		}
		for _, e := range list {
			after = e.Number
			if e.Name == name && e.Kind == kind {
				return e
			}
		}
	}
}

// Log returns the log of a server, the oldest file first.
func (d *Desk) Log(t *testing.T, name string) []map[string]any {
	t.Helper()
	var list []map[string]any
	for _, suffix := range []string{".log.2", ".log.1", ".log"} {
		data, err := os.ReadFile(filepath.Join(d.Logs, Domain, name+suffix))
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		for line := range bytes.Lines(data) {
			var e map[string]any
			if err := json.Unmarshal(line, &e); err != nil {
				t.Fatalf("log line %q: %v", line, err)
			}
			list = append(list, e)
		}
	}
	return list
}

// Shell returns a server of the domain that is a script.
func Shell(name, script string) keeper.Spec {
	return keeper.Spec{
		Domain: Domain, Name: name, Path: "/bin/sh", Args: []string{"-c", script},
		Env: []string{"PATH=" + os.Getenv("PATH")},
	}
}

// Role returns a server of the domain that plays a role.
func Role(t *testing.T, name, role string) (keeper.Spec, play.Pipes) {
	t.Helper()
	s, pipes := play.Role(t, role)
	s.Domain, s.Name = Domain, name
	return s, pipes
}

// Ended returns a context that has ended.
func Ended(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	cancel()
	return ctx, cancel
}

// Open opens a socket in the domain.
func (d *Desk) Open(t *testing.T, key, network, address string) keeper.Socket {
	t.Helper()
	s, err := d.Listen(d.Ctx, keeper.Socket{Domain: Domain, Key: key, Network: network, Address: address})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Quick is a policy without long waits.
func Quick(r lifecycle.Restart) *lifecycle.Policy {
	return &lifecycle.Policy{Restart: r, Intensity: 3, Backoff: time.Millisecond, MaxBackoff: 2 * time.Millisecond}
}
