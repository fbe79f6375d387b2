//go:build linux

package door

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/keeper/keepertest"
	"github.com/divisi-go/divisi/internal/proc"
)

var _ keepertest.Session = (*Client)(nil)

// TestClient: a keeper in another process does all that one in this process does.
func TestClient(t *testing.T) {
	keepertest.Run(t, func(t *testing.T) keepertest.Keeper {
		h := newHome(t)
		shutdown := func() error {
			if keeperPid(t, h) == 0 {
				return nil
			}
			c, err := Attach(context.Background(), h, keeper.Claim{})
			if err != nil {
				return err
			}
			return c.Shutdown(context.Background())
		}
		t.Cleanup(func() {
			if err := shutdown(); err != nil {
				t.Error(err)
			}
		})
		return keepertest.Keeper{
			Attach: func(ctx context.Context, c keeper.Claim) (keepertest.Session, error) { return Attach(ctx, h, c) },
			Logs:   h.Logs(),
			Close:  shutdown,
		}
	})
}

// TestOneKeeper: however many come at once, one keeper is started.
func TestOneKeeper(t *testing.T) {
	h := newHome(t)
	const many = 8
	pids := make(chan int, many)
	var clients sync.WaitGroup
	for i := range many {
		clients.Go(func() {
			c, err := Attach(t.Context(), h, keeper.Claim{Domain: fmt.Sprint("/app-", i), Who: "one of many"})
			if err != nil {
				t.Error(err)
				pids <- 0
				return
			}
			pids <- infoOf(t, c).Pid
			if err := c.Release(); err != nil {
				t.Error(err)
			}
		})
	}
	clients.Wait()
	first := <-pids
	for range many - 1 {
		if pid := <-pids; pid != first {
			t.Errorf("there are the keepers %d and %d", first, pid)
		}
	}
	said, err := os.ReadFile(logOf(h))
	if err != nil || strings.Count(string(said), "begins") != 1 {
		t.Errorf("the log says %q, %v", said, err)
	}
}

// TestEndsWhenNobodyNeedsIt: a keeper without clients stays for as long as it holds something.
func TestEndsWhenNobodyNeedsIt(t *testing.T) {
	h := newHome(t)
	c := attach(t, h, shop("one"))
	p := run(t, c, shell("a", fmt.Sprintf("sleep %v; exit 7", (3*linger/2).Seconds())))
	if err := c.Release(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.List(t.Context(), "/"); !errors.Is(err, keeper.ErrClosed) {
		t.Errorf("a client that has gone: %v", err)
	}

	ended(t, h)
	if exit := wait(t, attach(t, h, keeper.Claim{}), p.ID); exit.Code != 7 || exit.How != keeper.Waited {
		t.Errorf("the next keeper says that it %v (%+v)", exit, exit)
	}
	if _, err := os.Stat(filepath.Join(h.Keeper().State, "keeper.log")); err != nil {
		t.Error(err)
	}
}

// TestKilledKeeper: who waits for a process goes on waiting, and the claim is renewed.
func TestKilledKeeper(t *testing.T) {
	h := newHome(t)
	c := attach(t, h, shop("one"))
	before, epoch := infoOf(t, c), c.Holder().Epoch
	socket, err := c.Listen(t.Context(), keeper.Socket{Domain: "/shop", Key: "web", Network: "tcp", Address: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	spec := shell("a", "trap 'exit 9' TERM; while :; do sleep 0.01; done")
	spec.Sockets = []keeper.Inherit{{Key: "web"}}
	p := run(t, c, spec)

	exits := make(chan keeper.Exit, 1)
	var waits sync.WaitGroup
	waits.Go(func() { exits <- wait(t, c, p.ID) })
	defer waits.Wait()
	kill(t, h)
	list, err := c.List(t.Context(), "/shop")
	if err != nil || len(list) != 1 || list[0].ID != p.ID || list[0].Pid != p.Pid {
		t.Fatalf("the next keeper has %+v, %v", list, err)
	}
	if len(exits) > 0 {
		t.Errorf("the end of the keeper is said to be one of the process: %v", <-exits)
	}
	again, err := c.Listen(t.Context(), keeper.Socket{Domain: "/shop", Key: "web", Network: "tcp", Address: "127.0.0.1:0"})
	if err != nil || again.Actual != socket.Actual {
		t.Errorf("the socket is %+v, %v; it was %+v", again, err, socket)
	}
	if after := infoOf(t, c); after.Pid == before.Pid || c.Holder().Epoch != epoch+1 || c.Holder().Who != "one" {
		t.Errorf("%+v and %+v, after %+v and epoch %d", after, c.Holder(), before, epoch)
	}

	if err := c.Signal(t.Context(), p.ID, syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	if exit := <-exits; exit.How == keeper.Unknown || exit.Code != 9 {
		t.Errorf("it %v (%+v)", exit, exit)
	}
}

// TestStopByAKilledKeeper: the next one stops what this one had begun to stop.
func TestStopByAKilledKeeper(t *testing.T) {
	h := newHome(t)
	c := attach(t, h, shop("one"))
	words, their, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer words.Close()
	spec := shell("stubborn", "trap 'echo asked >&$WORDS' TERM; echo ready >&$WORDS; while :; do sleep 0.01; done")
	spec.Grace, spec.Files = time.Hour, []keeper.File{{Var: "WORDS", File: their}}
	p := run(t, c, spec)
	heard := bufio.NewScanner(words)
	heard.Scan()

	var stops sync.WaitGroup
	stops.Go(func() {
		if exit, err := c.Stop(t.Context(), p.ID); err != nil || exit.Signal != "killed" {
			t.Errorf("it %v, %v", exit, err)
		}
	})
	defer stops.Wait()
	heard.Scan()
	kill(t, h)
	if heard.Scan(); heard.Text() != "asked" {
		t.Errorf("it says %q, %v", heard.Text(), heard.Err())
	}
	if err := c.Signal(t.Context(), p.ID, syscall.SIGKILL); err != nil {
		t.Error(err)
	}
}

// TestFenced: who has lost the domain does not get it back, whichever keeper it asks.
func TestFenced(t *testing.T) {
	h := newHome(t)
	one := attach(t, h, shop("one"))
	two := attach(t, h, keeper.Claim{Domain: "/shop", Who: "two", Take: true})
	refused := func() {
		t.Helper()
		if _, err := one.Start(t.Context(), shell("a", "exit 0")); !errors.Is(err, keeper.ErrFenced) {
			t.Errorf("it started something: %v", err)
		}
	}
	refused()
	kill(t, h)
	refused()
	if exit := wait(t, two, run(t, two, shell("a", "exit 3")).ID); exit.Code != 3 {
		t.Errorf("it %v", exit)
	}

	// While somebody has the domain, nobody waits for it who does not want to.
	err := context.DeadlineExceeded // so far nobody has reached the keeper
	for patience := 50 * time.Millisecond; errors.Is(err, context.DeadlineExceeded) && patience < time.Minute; patience *= 4 {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		_, err = Attach(ctx, h, shop("three"))
		cancel()
	}
	if !errors.Is(err, keeper.ErrHeld) || !strings.Contains(err.Error(), "two has /shop since") {
		t.Errorf("attached: %v", err)
	}
}

// TestInitialisers: those of the program that has started the keeper run once, in the keeper.
func TestInitialisers(t *testing.T) {
	h := newHome(t)
	c := attach(t, h, shop("one"))
	for range 5 {
		wait(t, c, run(t, c, shell("a", "exit 0")).ID)
	}
	ran, err := os.ReadFile(filepath.Join(h.Dir, "initialised"))
	if err != nil || string(ran) != "x" {
		t.Errorf("they have run %d times, %v", len(ran), err)
	}
}

// TestFree: nothing of who has started the keeper is in the keeper, or in what it starts.
func TestFree(t *testing.T) {
	h := newHome(t)
	stray, their, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stray.Close()
	defer their.Close()
	inheritable(t, their)
	t.Setenv("DOOR_TEST_STRAY", "stray")
	c := attach(t, h, shop("one"))
	their.Close()
	if rest, err := io.ReadAll(stray); err != nil || len(rest) > 0 { // it ends if nobody else has it
		t.Errorf("%q, %v", rest, err)
	}

	pid := infoOf(t, c).Pid
	of := func(name string) string { return fmt.Sprintf("/proc/%d/%s", pid, name) }
	dir, err := os.Readlink(of("cwd"))
	if err != nil || dir != "/" {
		t.Errorf("its folder is %s, %v", dir, err)
	}
	args, err := os.ReadFile(of("cmdline"))
	if want := "divisi\x00keeper\x00" + h.Dir + "\x00"; err != nil || string(args) != want {
		t.Errorf("it calls itself %q, %v", args, err)
	}
	comm, err := os.ReadFile(of("comm"))
	if err != nil || string(comm) != "divisi keeper\n" {
		t.Errorf("its name is %q, %v", comm, err)
	}
	stat, err := proc.ReadStat(pid)
	if err != nil || stat.Session != pid {
		t.Errorf("its session is %d, %v", stat.Session, err)
	}

	// A signal that ends a terminal's processes does not end it, and servers are not deaf to it.
	if err := syscall.Kill(pid, syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	if exit := wait(t, c, run(t, c, shell("a", "kill -HUP $$; exit 1")).ID); exit.Signal != "hangup" {
		t.Errorf("it %v", exit)
	}
	spec := shell("b", `test "$(umask)" = 0022 && ! env | grep -q STRAY`)
	if exit := wait(t, c, run(t, c, spec).ID); exit.Code != 0 {
		t.Errorf("a server has the caller's mask or environment: it %v", exit)
	}
}

// inheritable has children inherit a file that they are not given.
func inheritable(t *testing.T, f *os.File) {
	t.Helper()
	raw, err := f.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	err = raw.Control(func(fd uintptr) { syscall.Syscall(syscall.SYS_FCNTL, fd, syscall.F_SETFD, 0) })
	if err != nil {
		t.Fatal(err)
	}
}

// TestTerminatedKeeper leaves what it holds to the next one.
func TestTerminatedKeeper(t *testing.T) {
	h := newHome(t)
	c := attach(t, h, shop("one"))
	p := run(t, c, shell("a", "sleep 60"))
	pid := infoOf(t, c).Pid
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	for infoOf(t, c).Pid == pid { // until the client has noticed
		c.List(t.Context(), "/")
	}
	if exit, err := c.Stop(t.Context(), p.ID); err != nil || exit.Signal != "terminated" {
		t.Errorf("it %v, %v", exit, err)
	}
}
