//go:build linux

package door

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/lifecycle"
)

// counted is a server that adds a line to a file each time that it runs.
func counted(t *testing.T, name, more string) (keeper.Spec, func() int) {
	path := filepath.Join(t.TempDir(), "ran")
	return shell(name, "echo ran >> "+path+"; "+more), func() int {
		text, _ := os.ReadFile(path) // there is none before it has run
		return strings.Count(string(text), "\n")
	}
}

// TestStartByAKilledKeeper: a program that kills its keeper before that has answered runs once.
func TestStartByAKilledKeeper(t *testing.T) {
	h := newHome(t)
	c := attach(t, h, shop("one"))
	for n := range 5 {
		murder := fmt.Sprintf("kill -9 %d; ", infoOf(t, c).Pid)
		done, ranDone := counted(t, fmt.Sprint("done-", n), murder+"exit 3")
		exit := wait(t, c, run(t, c, done).ID)
		if ranDone() != 1 || exit.Code != 3 && exit.How != keeper.Unknown {
			t.Errorf("it has run %d times, and %v", ranDone(), exit)
		}

		murder = fmt.Sprintf("kill -9 %d; ", infoOf(t, c).Pid)
		living, ranLiving := counted(t, fmt.Sprint("living-", n), murder+"exec sleep 60")
		p := run(t, c, living)
		for ranLiving() == 0 && t.Context().Err() == nil {
		}
		list, err := c.List(t.Context(), "/shop")
		if err != nil || len(list) != 1 || list[0].Pid != p.Pid || p.Pid == 0 || ranLiving() != 1 {
			t.Errorf("it has run %d times as %+v; the keeper has %+v, %v", ranLiving(), p, list, err)
		}
		if exit, err := c.Stop(t.Context(), p.ID); err != nil || exit.Signal != "terminated" {
			t.Errorf("it %v, %v", exit, err)
		}
	}
}

// TestStartWhileKeepersAreKilled: whenever that is, a start is done once, with the files that it was
// given, and a server that starts again by its policy runs in one process.
func TestStartWhileKeepersAreKilled(t *testing.T) {
	h := newHome(t)
	c := attach(t, h, shop("one"))
	for n := range 10 {
		once, ran := counted(t, fmt.Sprint("once-", n), "echo said >&$WORDS; exit 3")
		words, their, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		once.Files = []keeper.File{{Var: "WORDS", File: their}}
		policy, _ := counted(t, fmt.Sprint("policy-", n), "exec sleep 60")
		policy.Policy = &lifecycle.Policy{Restart: lifecycle.Permanent}

		var starts sync.WaitGroup
		starts.Go(func() {
			exit := wait(t, c, run(t, c, once).ID)
			switch {
			case ran() == 0 && exit.How == keeper.Unknown: // nobody can know, so it is not tried again
			case ran() != 1:
				t.Errorf("it has run %d times, and %v", ran(), exit)
			}
		})
		var p keeper.Proc
		starts.Go(func() { p = run(t, c, policy) })
		<-time.After(rand.N(8 * time.Millisecond))
		kill(t, h)
		starts.Wait()

		var heard [16]byte
		if got, err := words.Read(heard[:]); ran() == 1 && (err != nil || string(heard[:got]) != "said\n") {
			t.Errorf("it says %q, %v", heard[:got], err)
		}
		words.Close()
		list, err := c.List(t.Context(), "/shop")
		if err != nil || len(list) != 1 || list[0].Pid != p.Pid {
			t.Fatalf("after %+v the keeper has %+v, %v", p, list, err)
		}
		if _, err := c.Stop(t.Context(), keeper.ID{Domain: "/shop", Name: p.Name}); err != nil {
			t.Error(err)
		}
	}
}

// TestChangesByAStoppedKeeper: what a keeper was asked for that ends before it hears of it is done by
// the next one.
func TestChangesByAStoppedKeeper(t *testing.T) {
	h := newHome(t)
	c := attach(t, h, shop("one"))
	socket, err := c.Listen(t.Context(), keeper.Socket{Domain: "/shop", Key: "web", Network: "tcp", Address: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	signalled := run(t, c, shell("signalled", "exec sleep 60"))
	stopped := run(t, c, shell("stopped", "exec sleep 60"))
	spec, ran := counted(t, "started", "exit 3")

	stop(t, infoOf(t, c).Pid)
	var changes sync.WaitGroup
	changes.Go(func() {
		if exit := wait(t, c, run(t, c, spec).ID); exit.Code != 3 || ran() != 1 {
			t.Errorf("it %v, and has run %d times", exit, ran())
		}
	})
	changes.Go(func() {
		if err := c.Signal(t.Context(), signalled.ID, syscall.SIGUSR1); err != nil {
			t.Error(err)
		}
	})
	changes.Go(func() {
		if exit, err := c.Stop(t.Context(), stopped.ID); err != nil || exit.Signal != "terminated" {
			t.Errorf("it %v, %v", exit, err)
		}
	})
	changes.Go(func() {
		if err := c.Unlisten(t.Context(), "/shop", "web"); err != nil {
			t.Error(err)
		}
	})
	<-time.After(20 * time.Millisecond) // most of them are on their way
	kill(t, h)
	changes.Wait()

	if exit := wait(t, c, signalled.ID); exit.Signal != "user defined signal 1" {
		t.Errorf("it %v", exit)
	}
	if list, err := c.Sockets(t.Context(), "/shop"); err != nil || len(list) != 0 {
		t.Errorf("%s is open: %+v, %v", socket.Actual, list, err)
	}
}

// stop has a process stand still, and returns when all of its threads do.
func stop(t *testing.T, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	for running := true; running && t.Context().Err() == nil; {
		running = false
		threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
		if err != nil || len(threads) == 0 {
			t.Fatal(threads, err)
		}
		for _, thread := range threads {
			text, err := os.ReadFile(thread)
			running = running || err == nil && !strings.Contains(string(text), ") T ")
		}
	}
}
