package family_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/divisi-go/divisi/internal/family"
	"github.com/divisi-go/divisi/internal/proc"
)

// roleVar has the test binary adopt orphans, as a keeper does, and run tests then.
const roleVar = "FAMILY_TEST_ROLE"

const nobody = 65534

func TestMain(m *testing.M) {
	if os.Getenv(roleVar) == "adopt" {
		if err := family.AdoptOrphans(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(98)
		}
	}
	os.Exit(m.Run())
}

// server is a shell with processes that say a word at descriptor 3 once they are there. Whoever has
// that descriptor lives.
type server struct {
	cmd    *exec.Cmd
	family family.Family
	words  *bufio.Reader
	life   *os.File
}

// start starts a shell in a group of its own, with a mark, and waits for a number of words.
func start(t *testing.T, script string, words int, group *family.Group) *server {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	t.Cleanup(func() { r.Close() })

	s := &server{words: bufio.NewReader(r), life: r}
	s.family.Mark = fmt.Sprintf("%s-%d", t.Name(), os.Getpid())
	s.family.Group = group
	s.cmd = exec.Command("/bin/sh", "-c", script)
	s.cmd.Env = []string{"PATH=" + os.Getenv("PATH"), family.Variable + "=" + s.family.Mark}
	s.cmd.ExtraFiles = []*os.File{w}
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if group != nil {
		group.Join(s.cmd.SysProcAttr)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s.family.Pid = s.cmd.Process.Pid
	t.Cleanup(func() {
		if s.cmd.ProcessState == nil { // the test has failed before its end
			_ = s.family.End(context.Background())
			_ = s.cmd.Wait()
		}
	})
	for range words {
		if _, err := s.words.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
	}

	return s
}

// end ends the server, and fails if anything is left of it.
func (s *server) end(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := s.family.End(ctx); err != nil {
		t.Error(err)
	}
	if err := s.life.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(s.words); err != nil {
		t.Errorf("something still lives: %q, %v", rest, err)
	}
	if left, err := s.family.Find(); err != nil || len(left) > 0 {
		t.Errorf("left are %v, %v", left, err)
	}
	if err := s.cmd.Wait(); s.cmd.ProcessState == nil {
		t.Errorf("somebody else has waited for the server: %v", err)
	}
	s.family.Pid = 0
}

// grandchildren are ten, each with a child, and each in a session of its own; half of them have an
// empty environment.
const grandchildren = `
for i in 1 2 3 4 5; do
  setsid /bin/sh -c 'sleep 1000 & echo up >&3; exec sleep 1000' &
  setsid env -i /bin/sh -c 'sleep 1000 & echo up >&3; exec sleep 1000' &
done
`

// orphans are ten whose parents have ended. In sessions of their own are those that have the mark;
// in the group of the server are those that have not.
const orphans = `
for i in 1 2 3 4 5; do
  (setsid /bin/sh -c 'sleep 1000 & echo up >&3; exec sleep 1000' &)
  (env -i /bin/sh -c 'sleep 1000 & echo up >&3; exec sleep 1000' &)
done
`

// unknowable are ten orphans that have neither.
const unknowable = `
for i in 1 2 3 4 5 6 7 8 9 10; do
  (setsid env -i /bin/sh -c 'sleep 1000 & echo up >&3; exec sleep 1000' &)
done
`

func TestEnd(t *testing.T) {
	for name, script := range map[string]string{
		"grandchildren": grandchildren + "wait",
		"orphans":       orphans + "wait; exec sleep 1000",
		"alone":         "for i in 1 2 3 4 5 6 7 8 9 10; do echo up >&3; done; trap '' TERM; exec sleep 1000",
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, script, 10, nil)
			found, err := s.family.Find()
			least := 21
			if name == "alone" {
				least = 1
			}
			if err != nil || len(found) < least || !slices.Contains(found, s.family.Pid) {
				t.Errorf("found are %v, %v: at least %d are there", found, err, least)
			}
			s.end(t)
		})
	}
}

// TestEndOfTheRest: what a server leaves behind that has ended by itself.
func TestEndOfTheRest(t *testing.T) {
	s := start(t, orphans+"kill -9 $$", 10, nil)
	s.end(t)
	if s.cmd.ProcessState.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Errorf("the server has ended by %v", s.cmd.ProcessState)
	}

	// Also when somebody has waited for it already.
	s = start(t, strings.ReplaceAll(orphans, "env -i", "env")+"exit 3", 10, nil)
	_ = s.cmd.Wait()
	s.family.Pid = 0
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := s.family.End(ctx); err != nil {
		t.Error(err)
	}
	if _, err := io.ReadAll(s.words); err != nil {
		t.Error(err)
	}
}

// TestSeenBefore: what was found is ended although nothing tells any more that it is of the family.
func TestSeenBefore(t *testing.T) {
	s := start(t, strings.ReplaceAll(grandchildren, "setsid /bin", "setsid env -i /bin")+"wait", 10, nil)
	if found, err := s.family.Find(); err != nil || len(found) < 21 {
		t.Fatalf("found are %v, %v", found, err)
	}
	if err := s.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	s.end(t)
}

// TestNumberOfAnother: a process that has the number of one that has ended is not of its family.
func TestNumberOfAnother(t *testing.T) {
	s := start(t, "echo up >&3; exec sleep 1000", 1, nil)
	for ticks, want := range map[uint64]int{proc.StartTicks(s.family.Pid): 1, 1: 0} {
		f := family.Family{Pid: s.family.Pid, Ticks: ticks}
		if found, err := f.Find(); err != nil || len(found) != want {
			t.Errorf("with the start %d are found %v, %v", ticks, found, err)
		}
	}
	s.end(t)
}

// TestForks: processes that start others all the time are ended as well.
func TestForks(t *testing.T) {
	start(t, `
echo up >&3
spawn() { while :; do (setsid /bin/sh -c 'sleep 0.01; exec sleep 1000' &); sleep 0.01; done; }
spawn & spawn & wait`, 1, nil).end(t)
}

func TestEndWithGroup(t *testing.T) {
	for name, script := range map[string]string{
		"grandchildren": grandchildren + "wait",
		"unknowable":    unknowable + "wait; exec sleep 1000",
		"ended":         unknowable + "exit 3",
	} {
		t.Run(name, func(t *testing.T) {
			group := makeGroup(t)
			s := start(t, script, 10, group)
			if name == "ended" {
				s.family.Mark = "" // the group tells enough
			}
			s.end(t)

			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			if err := group.Remove(ctx); err != nil {
				t.Error(err)
			}
			if _, err := os.Stat(group.Path()); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the group is left: %v", err)
			}
		})
	}
}

func makeGroup(t *testing.T) *family.Group {
	t.Helper()
	group, err := family.MakeGroup(fmt.Sprintf("divisi-test-%s-%d", filepath.Base(t.Name()), os.Getpid()))
	if err != nil {
		if os.Getenv("CI") == "true" && os.Getuid() == 0 {
			t.Fatal(err)
		}
		t.Skip(err)
	}

	return group
}

func TestGroup(t *testing.T) {
	group := makeGroup(t)
	// A group within the group, as a server that is allowed to may make one.
	s := start(t, fmt.Sprintf(`
mkdir %[1]s/inner && /bin/sh -c 'echo $$ > %[1]s/inner/cgroup.procs; echo up >&3; exec sleep 1000' & wait`,
		group.Path()), 1, group)

	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	again, err := family.OpenGroup(group.Path())
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Remove(ctx); !errors.Is(err, syscall.EBUSY) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a group with processes: %v", err)
	}
	s.family.Mark = ""
	s.end(t)
	if err := group.Remove(t.Context()); err != nil {
		t.Error(err)
	}

	if _, err := family.OpenGroup(group.Path()); err == nil || !strings.Contains(err.Error(), "there is none") {
		t.Errorf("a group that has gone: %v", err)
	}
	if _, err := family.OpenGroup(t.TempDir()); err == nil || !strings.Contains(err.Error(), "there is none") {
		t.Errorf("an ordinary folder: %v", err)
	}
	for _, name := range []string{"", ".", "..", "a/b", "/"} {
		if _, err := family.MakeGroup(name); err == nil || !strings.Contains(err.Error(), "named") {
			t.Errorf("a group named %q: %v", name, err)
		}
	}
}

// TestOrphans: a process that adopts orphans waits for them, and for nothing else.
func TestOrphans(t *testing.T) {
	if os.Getenv(roleVar) != "adopt" {
		again(t, nil, "adopt")
		return
	}

	other := exec.Command("/bin/sh", "-c", "exit 7") // ends meanwhile
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	s := start(t, orphans+"exit 3", 10, nil)
	s.end(t)
	if s.cmd.ProcessState.ExitCode() != 3 {
		t.Errorf("the server: %v", s.cmd.ProcessState)
	}
	if _ = other.Wait(); other.ProcessState == nil || other.ProcessState.ExitCode() != 7 {
		t.Errorf("another child: %v", other.ProcessState)
	}

	_, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil)
	if !errors.Is(err, syscall.ECHILD) {
		t.Errorf("children are left: %v", err)
	}
}

// TestUnprivileged does the same as another user.
func TestUnprivileged(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("the tests do not run as root: they are unprivileged already")
	}
	again(t, &syscall.Credential{Uid: nobody, Gid: nobody}, "", "TestEnd", "TestEndOfTheRest", "TestSeenBefore", "TestForks")
	again(t, &syscall.Credential{Uid: nobody, Gid: nobody}, "adopt", append(looks, "TestOrphans")...)
}

// looks are tests in which families are looked for.
var looks = []string{"TestEnd", "TestEndOfTheRest", "TestSeenBefore", "TestForks", "TestNumberOfAnother", "TestOthers"}

// TestAdopts does the same in a process that adopts orphans, and looks at nobody but its children and what
// descends from those of the family.
func TestAdopts(t *testing.T) { again(t, nil, "adopt", append(looks, "TestEndWithGroup")...) }

// BenchmarkEnd is the end of a server that has left nothing, as the keeper sees each one.
func BenchmarkEnd(b *testing.B) {
	for _, role := range []string{"all processes", "adopted"} {
		b.Run(role, func(b *testing.B) {
			if role == "adopted" {
				if err := family.AdoptOrphans(); err != nil {
					b.Fatal(err)
				}
			}
			for b.Loop() {
				b.StopTimer()
				cmd := exec.Command("/bin/true")
				if err := cmd.Start(); err != nil {
					b.Fatal(err)
				}
				f := family.Family{Pid: cmd.Process.Pid, Ticks: proc.StartTicks(cmd.Process.Pid), Mark: "a-benchmark"}
				if err := proc.WaitExited(f.Pid); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
				if err := f.End(b.Context()); err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				_ = cmd.Wait()
				b.StartTimer()
			}
		})
	}
}

// TestRefused: processes that may not be killed are named at once.
func TestRefused(t *testing.T) {
	if pid, err := strconv.Atoi(os.Getenv("FAMILY_TEST_PID")); err == nil {
		fmt.Println("the error is", (&family.Family{Pid: pid}).End(t.Context()))
		return
	}
	if os.Getuid() != 0 {
		t.Skip("only root starts processes that it may kill and others may not")
	}
	s := start(t, "echo up >&3; exec sleep 1000", 1, nil)
	defer s.end(t)
	t.Setenv("FAMILY_TEST_PID", strconv.Itoa(s.family.Pid))

	out := again(t, &syscall.Credential{Uid: nobody, Gid: nobody}, "")
	want := fmt.Sprintf("the error is a process does not end: %d (sleep): operation not permitted\n", s.family.Pid)
	if !strings.Contains(out, want) {
		t.Errorf("want %q in %s", want, out)
	}
}

// TestTime: at the end of its time it says what does not end, whatever was killed.
func TestTime(t *testing.T) {
	s := start(t, "echo up >&3; exec sleep 1000", 1, nil)
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("no time is left"))
	err := s.family.End(ctx)
	if want := fmt.Sprintf("a process does not end: %d (sleep): no time is left", s.family.Pid); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	s.end(t)
}

// again runs tests of the test binary in another process, with a role, and returns what they print.
func again(t *testing.T, who *syscall.Credential, role string, tests ...string) string {
	t.Helper()
	if len(tests) == 0 {
		tests = []string{t.Name()}
	}
	// Others may not look into the folder of the test binary.
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.v", "-test.run", "^("+strings.Join(tests, "|")+")$")
	cmd.Env = append(os.Environ(), roleVar+"="+role, "GOTRACEBACK=all")
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: who}
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS") {
		t.Errorf("as user %+v: %v: %s", who, err, out)
	}

	return string(out)
}

// TestOthers: what is not of the family is not found, above all not this process.
func TestOthers(t *testing.T) {
	s := start(t, "echo up >&3; exec sleep 1000", 1, nil)
	other := start(t, "echo up >&3; exec sleep 1000", 1, nil)
	defer other.end(t)
	other.family.Mark = ""

	s.family.Mark += "-more"
	found, err := s.family.Find()
	if err != nil || !slices.Equal(found, []int{s.family.Pid}) {
		t.Errorf("found are %v, %v", found, err)
	}
	if found, err := (&family.Family{}).Find(); err != nil || len(found) > 0 {
		t.Errorf("of nothing are found %v, %v", found, err)
	}
	if found, err := (&family.Family{Pid: 1}).Find(); err != nil || len(found) > 0 {
		t.Errorf("of the first process are found %v, %v", found, err)
	}
	s.end(t)
	runtime.KeepAlive(other)
}
