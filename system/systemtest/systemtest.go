// Package systemtest runs the start functions of a system in a test: in temporary folders, with a keeper in
// the test's own process.
//
//	func TestMain(m *testing.M) { systemtest.Main(m, main) }
//
//	func TestOrders(t *testing.T) {
//		ctx, n, h := systemtest.New(t)
//		dir := systemtest.Must(h.Dir("positiond"))(t)
//		positiond := systemtest.Must(StartPositiond(ctx, n, h, dir))(t)
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
	"strings"
	"testing"

	"github.com/divisi-go/divisi/internal/agent"
	"github.com/divisi-go/divisi/internal/artifact"
	"github.com/divisi-go/divisi/internal/home"
	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/keeper/door"
	"github.com/divisi-go/divisi/internal/keeper/hold"
	"github.com/divisi-go/divisi/internal/server"
	"github.com/divisi-go/divisi/system"
)

// name is that of every system in a test; its servers are in the domain of that name.
const name = "test"

// Main is all of TestMain. It runs the tests; or main, in processes that are this program once more: servers
// of [system.Server], and runs of the system that a test starts. The program is also what other hosts need of it.
func Main(m *testing.M, main func()) {
	door.Enter()
	agent.Enter("/" + name)
	if len(os.Args) > 1 && !strings.HasPrefix(os.Args[1], "-test.") {
		main()
		os.Exit(0)
	}
	entered = true
	os.Exit(m.Run())
}

// entered says that processes of this program are what they are to be.
var entered bool

// Must returns the result of a function, or ends the test if that has failed:
//
//	dir := systemtest.Must(h.Dir("positiond"))(t)
func Must[T any](result T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return result
	}
}

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
		err := p.Run(server.OnHost(running, below), func(ctx context.Context, n *system.Nursery, h *system.Host) error {
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
	dir := folder(t)
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
	where := home.Home{Dir: dir, Runtime: filepath.Join(dir, "sockets")}
	return &server.Host{
		Keeper: session, Logs: k.LogDir, Data: filepath.Join(dir, "data"), Find: find, Home: where,
		Artifacts: artifact.NewStore(where.CAS(), func() ([]string, error) { return nil, nil }),
	}
}

// find finds programs. That of the test is the test's own.
func find(word string) (server.Program, error) {
	switch {
	case word != "":
		return server.Find(word)
	case !entered:
		return server.Program{}, errors.New("the program of the test is to be a server: have TestMain call systemtest.Main")
	}
	own, err := os.Executable()
	if err != nil {
		return server.Program{}, err
	}
	return server.Find(own)
}
