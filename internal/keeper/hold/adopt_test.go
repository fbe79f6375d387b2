//go:build unix

package hold_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/keeper/hold"
	"github.com/divisi-go/divisi/internal/keeper/record"
	"github.com/divisi-go/divisi/internal/lifecycle"
)

// mortalVar makes the test binary a keeper that the test kills: it has the keeper's folder.
const mortalVar = "KEEPER_TEST_MORTAL"

// boundVar has everything end with the claim of that keeper's client.
const boundVar = "KEEPER_TEST_BOUND"

// placeIn returns where the keepers of a test have their files.
func placeIn(dir string) hold.Place {
	return hold.Place{
		State: filepath.Join(dir, "state"), Logs: filepath.Join(dir, "logs"), Spare: filepath.Join(dir, "spare.ndjson"),
	}
}

// mortal opens a keeper, starts what it reads, as specifications and sockets in JSON, and says what
// came of it. It stops, and waits for the next start, of what it reads as names.
func mortal(dir string) error {
	k, err := hold.OpenWith(nil, placeIn(dir))
	if err != nil {
		return err
	}
	ctx := context.Background()
	s, err := k.Attach(ctx, keeper.Claim{Domain: "/test", Who: "the first", Ends: os.Getenv(boundVar) != ""})
	if err != nil {
		return err
	}
	in, out := json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)
	for {
		var wish struct {
			Socket *keeper.Socket
			Spec   *keeper.Spec
			Stop   *keeper.ID
			Next   *keeper.ID
		}
		if err := in.Decode(&wish); err != nil {
			return err
		}
		var answer any
		switch {
		case wish.Socket != nil:
			answer, err = s.Listen(ctx, *wish.Socket)
		case wish.Spec != nil:
			answer, err = s.Start(ctx, *wish.Spec)
		case wish.Stop != nil:
			answer, err = s.Stop(ctx, *wish.Stop)
		case wish.Next != nil:
			answer, err = nextStart(ctx, s, *wish.Next)
		}
		if err != nil {
			return err
		}
		if err := out.Encode(answer); err != nil {
			return err
		}
	}
}

// nextStart waits until a server has a start after one, and returns it.
func nextStart(ctx context.Context, s *hold.Session, after keeper.ID) (keeper.Proc, error) {
	for number := uint64(0); ; {
		list, err := s.List(ctx, after.Domain)
		if err != nil {
			return keeper.Proc{}, err
		}
		for _, p := range list {
			if p.Name == after.Name && p.ID.Run > after.Run && p.Pid > 0 {
				return p, nil
			}
		}
		events, err := s.Next(ctx, after.Domain, number)
		if err != nil {
			return keeper.Proc{}, err
		}
		number = events[len(events)-1].Number
	}
}

// first is the keeper that is killed, and its successor.
type first struct {
	t   *testing.T
	dir string
	cmd *exec.Cmd
	in  io.WriteCloser
	out *json.Decoder
}

func newFirst(t *testing.T) *first {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("what a killed keeper leaves is adopted on Linux only")
	}
	return newIn(t, t.TempDir())
}

// newIn returns the keeper that follows one that was killed, and is killed as well.
func newIn(t *testing.T, dir string) *first {
	t.Helper()
	f := &first{t: t, dir: dir}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	f.cmd = exec.Command(exe)
	f.cmd.Env = append(os.Environ(), mortalVar+"="+f.dir)
	f.cmd.Stderr = os.Stderr
	if f.in, err = f.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := f.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	f.out = json.NewDecoder(out)
	if err := f.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.kill() })
	return f
}

func (f *first) wish(what string, wish, answer any) {
	f.t.Helper()
	if err := json.NewEncoder(f.in).Encode(map[string]any{what: wish}); err != nil {
		f.t.Fatal(err)
	}
	if err := f.out.Decode(answer); err != nil {
		f.t.Fatal(err)
	}
}

func (f *first) start(s keeper.Spec) (p keeper.Proc) {
	f.t.Helper()
	s.Domain, s.Path = "/test", "/bin/sh"
	f.wish("Spec", s, &p)
	return p
}

func (f *first) listen(key string) (s keeper.Socket) {
	f.t.Helper()
	f.wish("Socket", keeper.Socket{Domain: "/test", Key: key, Network: "tcp", Address: "127.0.0.1:0"}, &s)
	return s
}

func (f *first) kill() {
	f.cmd.Process.Kill()
	f.cmd.Wait()
}

// next kills the keeper with SIGKILL, does something, and returns a session of its successor.
func (f *first) next(meanwhile func()) (*hold.Keeper, *hold.Session, context.Context) {
	f.t.Helper()
	f.kill()
	meanwhile()
	k, err := hold.OpenWith(nil, placeIn(f.dir))
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() {
		if err := k.Close(); err != nil {
			f.t.Error(err)
		}
	})
	ctx, cancel := context.WithTimeout(f.t.Context(), time.Minute)
	f.t.Cleanup(cancel)
	s, err := k.Attach(ctx, keeper.Claim{Domain: "/test", Who: "the next"})
	if err != nil {
		f.t.Fatal(err)
	}
	if s.Holder().Epoch < 2 {
		f.t.Errorf("epoch %d follows the first one", s.Holder().Epoch)
	}
	return k, s, ctx
}

func (f *first) log(name string) string {
	f.t.Helper()
	text, err := os.ReadFile(filepath.Join(f.dir, "logs/test", name+".log"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		f.t.Fatal(err)
	}
	return string(text)
}

// fifo makes a named pipe, for a process that nobody else talks to.
func fifo(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func script(name, text string) keeper.Spec {
	return keeper.Spec{Name: name, Args: []string{"-c", text}, Env: []string{"PATH=" + os.Getenv("PATH")}}
}

// TestKilledKeeper: what the next keeper finds of a process that lives: the process itself, its
// output from before and after, its exit code, and that it can be stopped.
func TestKilledKeeper(t *testing.T) {
	f := newFirst(t)
	gate := fifo(t)
	living := f.start(script("living", "echo before; read line < "+gate+"; echo after; exit 7"))
	victim := f.start(script("victim", "exec sleep 60"))
	for end := time.Now().Add(30 * time.Second); !strings.Contains(f.log("living"), "before"); {
		if time.Now().After(end) { // what a keeper has read, and not written, is lost with it
			t.Fatal("the first line is not in the log")
		}
	}
	k, s, ctx := f.next(func() {})

	list, err := s.List(ctx, "/test")
	if err != nil || len(list) != 2 || list[0].ID != living.ID || list[0].Pid != living.Pid || list[1].Pid != victim.Pid {
		t.Fatalf("%+v, %v", list, err)
	}
	if err := os.WriteFile(gate, []byte("go\n"), 0); err != nil {
		t.Fatal(err)
	}
	exit, err := s.Wait(ctx, living.ID)
	if err != nil || exit.Code != 7 || exit.How != keeper.Pidfd && exit.How != keeper.Stat {
		t.Errorf("%+v, %v", exit, err)
	}
	if log := f.log("living"); !strings.Contains(log, "before") || !strings.Contains(log, "after") {
		t.Errorf("the log is %s", log)
	}
	if exit, err := s.Stop(ctx, victim.ID); err != nil || exit.Signal != "terminated" {
		t.Errorf("%+v, %v", exit, err)
	}
	if !k.Idle() {
		t.Error("it holds something")
	}

	// The numbers of starts go on.
	next := script("living", "exit 0")
	next.Domain, next.Path = "/test", "/bin/sh"
	if p, err := s.Start(ctx, next); err != nil || p.ID.Run <= victim.ID.Run {
		t.Errorf("%+v, %v", p, err)
	}
}

// TestKilledKeeperDeaf: a process that prints while there is no keeper is not ended by that, and
// nothing of it is lost.
func TestKilledKeeperDeaf(t *testing.T) {
	f := newFirst(t)
	gate, done := fifo(t), fifo(t)
	p := f.start(script("talker", "read line < "+gate+"; i=0; while [ $i -lt 100 ]; do echo line $i; i=$((i+1)); done; "+
		"echo done > "+done+"; read line < "+gate))
	_, s, ctx := f.next(func() {
		if err := os.WriteFile(gate, []byte("go\n"), 0); err != nil {
			t.Fatal(err)
		}
		if text, err := os.ReadFile(done); err != nil || string(text) != "done\n" {
			t.Fatalf("%q, %v", text, err)
		}
	})
	if err := os.WriteFile(gate, []byte("go\n"), 0); err != nil {
		t.Fatal(err)
	}
	if exit, err := s.Wait(ctx, p.ID); err != nil || exit.Code != 0 {
		t.Errorf("%+v, %v", exit, err)
	}
	if n := strings.Count(f.log("talker"), `"line `); n != 100 {
		t.Errorf("%d of 100 lines are in the log", n)
	}
}

// TestKilledKeeperAbsent: of a process that ended while there was no keeper nobody knows how, and a
// server whose policy says so starts again.
func TestKilledKeeperAbsent(t *testing.T) {
	f := newFirst(t)
	gate := fifo(t)
	once := f.start(script("once", "read line < "+gate))
	again := script("again", "sleep 60")
	again.Policy = &lifecycle.Policy{Restart: lifecycle.Permanent, Backoff: time.Millisecond}
	before := f.start(again)
	_, s, ctx := f.next(func() {
		if err := os.WriteFile(gate, []byte("go\n"), 0); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Kill(before.Pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		for _, pid := range []int{once.Pid, before.Pid} {
			for syscall.Kill(pid, 0) == nil && ctxAlive(t) {
				state, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
				if err != nil || strings.Contains(string(state), ") Z ") {
					break // nobody waits for it here
				}
			}
		}
	})

	exit, err := s.Wait(ctx, once.ID)
	if err != nil || exit.How == keeper.Waited || exit.How == keeper.Unknown && exit.Code != -1 {
		t.Errorf("%+v, %v", exit, err)
	}
	for after := uint64(0); ; {
		events, err := s.Next(ctx, "/test", after)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range events {
			after = e.Number
			if e.Kind != keeper.Ready {
				continue
			}
			if e.Name != "again" || e.ID.Run <= before.ID.Run {
				t.Errorf("%+v", e)
			}
			return
		}
	}
}

func ctxAlive(t *testing.T) bool { return t.Context().Err() == nil }

// TestKilledKeeperSockets: a socket that a process has is taken back from it, and one that nobody has
// is opened again.
func TestKilledKeeperSockets(t *testing.T) {
	f := newFirst(t)
	shared, lonely := f.listen("shared"), f.listen("lonely")
	holder := script("holder", "exec sleep 60")
	holder.Sockets = []keeper.Inherit{{Key: "shared"}}
	f.start(holder)
	waiting, err := net.Dial("tcp", shared.Actual)
	if err != nil {
		t.Fatal(err)
	}
	defer waiting.Close()
	_, s, ctx := f.next(func() {})

	list, err := s.Sockets(ctx, "/test")
	if err != nil || len(list) != 2 {
		t.Fatalf("%+v, %v", list, err)
	}
	for _, got := range list {
		want := map[string]keeper.Held{"shared": keeper.Getfd, "lonely": keeper.Relisten}[got.Key]
		if got.Held == keeper.Child && got.Key == "shared" && os.Getuid() != 0 {
			t.Log("this system does not let a user trace processes: the socket stays with them")
			want = keeper.Child
		}
		if got.Held != want || got.Actual != map[string]string{"shared": shared.Actual, "lonely": lonely.Actual}[got.Key] {
			t.Errorf("%+v", got)
		}
	}
	again, err := s.Listen(ctx, keeper.Socket{Domain: "/test", Key: "shared", Network: "tcp", Address: "127.0.0.1:0"})
	if err != nil {
		if os.Getuid() != 0 {
			return
		}
		t.Fatal(err)
	}
	if again.Actual != shared.Actual {
		t.Errorf("%+v, and before %+v", again, shared)
	}

	// Who waited in the queue of the socket is served by the next process.
	answering := script("answering", `exec 5<&3; exec "$0" `)
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	answering.Domain, answering.Path, answering.Args = "/test", exe, nil
	answering.Env = []string{"KEEPER_TEST_ROLE=answer"}
	answering.Sockets = []keeper.Inherit{{Key: "shared"}}
	p, err := s.Start(ctx, answering)
	if err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(waiting).ReadString('\n')
	if err != nil || strings.TrimSpace(line) != fmt.Sprint(p.Pid) {
		t.Errorf("%q, %v", line, err)
	}
}

// TestKilledKeeperElsewhere: what is at the address of a socket meanwhile keeps it.
func TestKilledKeeperElsewhere(t *testing.T) {
	f := newFirst(t)
	socket := f.listen("web")
	var other net.Listener
	k, s, ctx := f.next(func() {
		var err error
		if other, err = net.Listen("tcp", socket.Actual); err != nil {
			t.Fatal(err)
		}
	})
	defer other.Close()
	list, err := s.Sockets(ctx, "/test")
	if err != nil || len(list) != 1 || list[0].Held != keeper.Lost {
		t.Errorf("%+v, %v", list, err)
	}
	if _, err := s.Take(ctx, "/test", "web"); !errors.Is(err, keeper.ErrUnknown) {
		t.Errorf("a lost socket is taken: %v", err)
	}
	if err := s.Unlisten(ctx, "/test", "web"); err != nil || !k.Idle() {
		t.Errorf("%v", err)
	}
}

// TestKilledKeeperBadDisk: what a keeper has done while its journal could not be written is known to the next one: the
// process that it has started again is the same, and what was stopped stays so.
func TestKilledKeeperBadDisk(t *testing.T) {
	f := newFirst(t)
	permanent := func(name string) keeper.Spec {
		s := script(name, "exec sleep 60")
		s.Policy = &lifecycle.Policy{Restart: lifecycle.Permanent, Backoff: time.Millisecond}
		return s
	}
	web := f.start(permanent("web"))
	gone := f.start(permanent("gone"))
	f.kill()

	bad := filepath.Join(f.dir, "state/journal.ndjson.new")
	if err := os.MkdirAll(filepath.Join(bad, "in the way"), 0o700); err != nil {
		t.Fatal(err)
	}
	second := newIn(t, f.dir)
	if err := syscall.Kill(web.Pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	var again keeper.Proc
	second.wish("Next", web.ID, &again)
	var stopped keeper.Exit
	second.wish("Stop", keeper.ID{Domain: "/test", Name: "gone"}, &stopped)
	if before, err := record.Load(filepath.Join(f.dir, "state")); err != nil || len(before.Servers) != 1 {
		t.Errorf("beside the journal is %+v, %v", before, err)
	}

	_, s, ctx := second.next(func() {})
	list, err := s.List(ctx, "/test")
	if err != nil || len(list) != 1 || list[0].ID != again.ID || list[0].Pid != again.Pid {
		t.Errorf("there is %+v, not %v as process %d; %v", list, again.ID, again.Pid, err)
	}
	if exit, err := s.Wait(ctx, gone.ID); err != nil || exit.Signal != stopped.Signal {
		t.Errorf("what was stopped has ended by %+v, %v, not %+v", exit, err, stopped)
	}

	if err := os.RemoveAll(bad); err != nil {
		t.Fatal(err)
	}
	other := permanent("other")
	other.Domain, other.Path = "/test", "/bin/sh"
	if p, err := s.Start(ctx, other); err != nil || p.ID.Run <= again.ID.Run {
		t.Errorf("when the disk is well: %+v, %v", p, err)
	}
	if _, err := os.Lstat(filepath.Join(f.dir, "spare.ndjson")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the spare journal is left: %v", err)
	}
}

// TestKilledKeeperBound: what ends with a claim ends when its client has gone with the keeper.
func TestKilledKeeperBound(t *testing.T) {
	t.Setenv(boundVar, "yes")
	f := newFirst(t)
	f.listen("web")
	p := f.start(script("living", "exec sleep 60"))
	f.kill()
	dir := filepath.Join(f.dir, "state")
	if before, err := record.Load(dir); err != nil || !before.Holds() {
		t.Errorf("nothing is left, %v", err)
	}

	k, err := hold.Open(dir, filepath.Join(f.dir, "logs"), "")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	s, err := k.Attach(ctx, keeper.Claim{})
	if err != nil {
		t.Fatal(err)
	}
	if exit, err := s.Wait(ctx, p.ID); err != nil || exit.Signal != "killed" {
		t.Errorf("%+v, %v", exit, err)
	}
	for after := uint64(0); !k.Idle(); {
		events, err := s.Next(ctx, "/test", after)
		if err != nil {
			t.Fatal(err)
		}
		after = events[len(events)-1].Number
	}
	if err := k.Close(); err != nil {
		t.Fatal(err)
	}
	if before, err := record.Load(dir); err != nil || before.Holds() {
		t.Errorf("something is left, %v", err)
	}
}
