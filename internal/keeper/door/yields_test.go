//go:build linux

package door

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/divisi-go/divisi/internal/home"
	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/keeper/keepertest/play"
	"github.com/divisi-go/divisi/internal/lifecycle"
)

// yielding is a server whose client restarts it, as long as there is one.
func yielding(name string) keeper.Spec {
	s := shell(name, "exec sleep 60")
	s.Policy, s.Yields, s.Digest = &lifecycle.Policy{Restart: lifecycle.Permanent}, true, "v1"
	return s
}

// fell kills a server, which then waits.
func fell(t *testing.T, c *Client, p keeper.Proc) {
	t.Helper()
	if err := syscall.Kill(p.Pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	state(t, c, p.Name, lifecycle.Backoff)
}

// TestUpgradeKeepsWaiting: what waits for its client does so under the next program, which goes on by the
// policy when the client has gone.
func TestUpgradeKeepsWaiting(t *testing.T) {
	h := newHome(t)
	c := attach(t, h, shop("one"))
	p := run(t, c, yielding("a"))
	fell(t, c, p)
	before := list(t, c)
	if _, err := c.Upgrade(t.Context(), executable(t)); err != nil {
		t.Fatal(err)
	}
	if after := list(t, c); after != before {
		t.Errorf("it holds\n%s\nand held\n%s", after, before)
	}

	next := run(t, c, yielding("a"))
	if next.Born != p.Born || next.Run <= p.Run || next.Restarts != 1 {
		t.Errorf("%+v after %+v", next, p)
	}
	fell(t, c, next)
	looker := attach(t, h, keeper.Claim{})
	if err := c.Release(); err != nil {
		t.Fatal(err)
	}
	state(t, looker, "a", lifecycle.Ready)
	if err := looker.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
}

// yield starts a server, and hears nothing more.
func yield(h home.Home) error {
	c, err := Attach(context.Background(), h, shop("one that is killed"))
	if err != nil {
		return err
	}
	p, err := c.Start(context.Background(), yielding("a"))
	if err != nil {
		return err
	}
	fmt.Println(p.Pid)
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// TestKilledClient: when the client of a server is killed, the keeper restarts the server; the client that
// takes over finds it.
func TestKilledClient(t *testing.T) {
	h := newHome(t)
	looker := attach(t, h, keeper.Claim{})
	cmd := player(t, h, "yield")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var p keeper.Proc
	p.Name = "a"
	if _, err := fmt.Fscan(bufio.NewReader(out), &p.Pid); err != nil {
		t.Fatal(err)
	}
	fell(t, looker, p)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
	state(t, looker, "a", lifecycle.Ready)

	next := attach(t, h, keeper.Claim{Domain: "/shop", Who: "the next", Take: true})
	spec := yielding("a")
	spec.Beside = true
	if _, err := next.Start(t.Context(), spec); !errors.Is(err, keeper.ErrRuns) {
		t.Errorf("it runs twice: %v", err)
	}
	list, err := next.List(t.Context(), "/shop")
	if err != nil || len(list) != 1 || list[0].Pid == p.Pid {
		t.Fatalf("%+v, %v", list, err)
	}
	fell(t, next, list[0])
}

// TestFencedOverKeepers: a client is told that its claim is taken whatever became of the keeper meanwhile.
func TestFencedOverKeepers(t *testing.T) {
	h := newHome(t)
	one := attach(t, h, shop("one"))
	told := make(chan error, 1)
	go func() { told <- one.Fenced(t.Context()) }()
	kill(t, h)
	if _, err := one.List(t.Context(), "/shop"); err != nil {
		t.Fatal(err)
	}
	if _, err := one.Upgrade(t.Context(), executable(t)); err != nil {
		t.Fatal(err)
	}

	attach(t, h, keeper.Claim{Domain: "/shop", Who: "two", Take: true})
	if err := <-told; !errors.Is(err, keeper.ErrFenced) || !strings.Contains(err.Error(), "two since") {
		t.Errorf("%v", err)
	}
	kill(t, h) // and the claim is not renewed
	if err := one.Fenced(t.Context()); !errors.Is(err, keeper.ErrFenced) {
		t.Errorf("without a connection: %v", err)
	}
}

// TestFencedByAnOldKeeper: of a keeper that does not know the question the client waits for the end.
func TestFencedByAnOldKeeper(t *testing.T) {
	fenced := verbs["fenced"]
	delete(verbs, "fenced")
	t.Cleanup(func() { verbs["fenced"] = fenced })
	h := newHome(t)
	serveHere(t, h)
	one := attach(t, h, shop("one"))
	told := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { told <- one.Fenced(ctx) }()
	attach(t, h, keeper.Claim{Domain: "/shop", Who: "two", Take: true})
	if _, err := one.Start(t.Context(), yielding("a")); !errors.Is(err, keeper.ErrFenced) {
		t.Errorf("a change: %v", err)
	}
	cancel()
	if err := <-told; !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

// TestRestartWhileKeepersAreKilled: whenever that is, a server that its client restarts runs in one process
// at a time.
func TestRestartWhileKeepersAreKilled(t *testing.T) {
	h := newHome(t)
	c := attach(t, h, shop("one"))
	spec := yielding("a")
	spec.Path, spec.Args, spec.Env = executable(t), nil, play.Env("alone "+filepath.Join(t.TempDir(), "lock"))
	spec.Beside = true
	t.Cleanup(func() { // nobody else ends what runs
		if err := c.Shutdown(context.Background()); err != nil && !errors.Is(err, keeper.ErrClosed) {
			t.Error(err)
		}
	})
	run(t, c, spec)
	for range 10 {
		list, err := c.List(t.Context(), "/shop")
		if err != nil || len(list) != 1 || list[0].Pid == 0 {
			t.Fatalf("%+v, %v", list, err)
		}
		fell(t, c, list[0])
		var starts sync.WaitGroup
		starts.Go(func() {
			for { // nobody may know how a start has ended
				p, err := c.Start(t.Context(), spec)
				if errors.Is(err, keeper.ErrRuns) || err == nil && p.Pid != 0 {
					return
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
		<-time.After(rand.N(5 * time.Millisecond))
		kill(t, h)
		starts.Wait()
		if _, err := c.Start(t.Context(), spec); err != nil && !errors.Is(err, keeper.ErrRuns) {
			t.Error(err) // it was killed with an answer on its way
		}
	}

	exits, err := c.Exits(t.Context(), "/shop", 0)
	if err != nil || len(exits) < 10 {
		t.Errorf("%d ends, %v", len(exits), err)
	}
	for _, r := range exits {
		if r.Exit.Code == play.NotAlone {
			t.Errorf("it ran twice: %+v", r)
		}
	}
}
