//go:build linux

package door

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/divisi-go/divisi/internal/home"
	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/keeper/link"
)

// soak reports whether tests are to take as long as they like.
func soak() bool { return os.Getenv("DIVISI_SOAK") != "" }

// roleVar makes the test binary a client of a keeper, in a process of its own.
const roleVar = "DOOR_TEST_ROLE"

// perform is what such a process does.
func perform(role string) error {
	h, err := home.At(os.Args[1])
	if err != nil {
		return err
	}
	switch role {
	case "stand":
		return stand(h)
	case "race":
		return race(h)
	case "yield":
		return yield(h)
	}
	return fmt.Errorf("there is no role %q", role)
}

// player returns a command that plays a role.
func player(t *testing.T, h home.Home, role string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], append([]string{h.Dir}, args...)...)
	cmd.Env = append(os.Environ(), roleVar+"="+role, "GORACE=atexit_sleep_ms=0")
	cmd.Stderr = os.Stderr
	return cmd
}

// stand says that it has the domain, and tries to change something of it when it hears a line.
func stand(h home.Home) error {
	c, err := Attach(context.Background(), h, shop("one that stands still"))
	if err != nil {
		return err
	}
	fmt.Println("attached")
	if _, err := bufio.NewReader(os.Stdin).ReadString('\n'); err != nil {
		return err
	}

	_, err = c.Listen(context.Background(), keeper.Socket{Domain: "/shop", Key: "web", Network: "tcp", Address: "127.0.0.1:0"})
	fmt.Printf("fenced %v: %v\n", errors.Is(err, keeper.ErrFenced), err)
	return c.Release()
}

// TestStoppedClient: a client that is stopped while somebody else takes its domain is refused when it
// goes on, and told by whom, and since when. With DIVISI_SOAK it is stopped for a minute.
func TestStoppedClient(t *testing.T) {
	h := newHome(t)
	cmd := player(t, h, "stand")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(out)
	if line, err := lines.ReadString('\n'); line != "attached\n" {
		t.Fatalf("it says %q, %v", line, err)
	}

	var status syscall.WaitStatus
	if err := cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if _, err := syscall.Wait4(cmd.Process.Pid, &status, syscall.WUNTRACED, nil); err != nil || !status.Stopped() {
		t.Fatalf("it is not stopped: %v, %v", status, err)
	}
	next := attach(t, h, keeper.Claim{Domain: "/shop", Who: "the next one", Take: true})
	if soak() {
		<-time.After(time.Minute)
	}
	if err := cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(in, "go on\n"); err != nil {
		t.Fatal(err)
	}
	said, err := lines.ReadString('\n')
	want := "the next one since " + next.Holder().Since.Format(time.RFC3339)
	if !strings.HasPrefix(said, "fenced true: ") || !strings.Contains(said, want) {
		t.Errorf("it says %q (%v), want that %s", said, err, want)
	}
	t.Log(strings.TrimSpace(said))

	if list, err := next.Sockets(t.Context(), "/shop"); err != nil || len(list) > 0 {
		t.Errorf("it has changed something: %v, %v", list, err)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

// race claims a domain again and again. While it has it, it is the only one to write its epoch into a
// file.
func race(h home.Home) error {
	times, err := strconv.Atoi(os.Args[3])
	if err != nil {
		return err
	}
	file, err := os.OpenFile(os.Args[2], os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	for range times {
		c, err := Attach(context.Background(), h, shop(fmt.Sprintf("process %d", os.Getpid())))
		if err != nil {
			return err
		}
		if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
			return fmt.Errorf("two have the domain: %w", err)
		}
		_, err = fmt.Fprintf(file, "%d %d\n", c.Holder().Epoch, os.Getpid())
		if err := errors.Join(err, syscall.Flock(int(file.Fd()), syscall.LOCK_UN), c.Release()); err != nil {
			return err
		}
	}

	return nil
}

// TestRace: of two processes that want a domain again and again, one has it at any time, and each time
// with a larger epoch. With DIVISI_SOAK it is 1,000 times for each.
func TestRace(t *testing.T) {
	times := 20
	if soak() {
		times = 1000
	}
	h := newHome(t)
	path := filepath.Join(t.TempDir(), "epochs")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var racers []*exec.Cmd
	for range 2 {
		cmd := player(t, h, "race", path, strconv.Itoa(times))
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		racers = append(racers, cmd)
	}
	for _, cmd := range racers {
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	}

	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	last, turns, former := 0, 0, 0
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	for n, line := range lines {
		var epoch, pid int
		if _, err := fmt.Sscan(line, &epoch, &pid); err != nil || epoch <= last {
			t.Fatalf("claim %d has the epoch %d, and the one before it %d (%v)", n+1, epoch, last, err)
		}
		if pid != former {
			turns++
		}
		last, former = epoch, pid
	}
	if len(lines) != 2*times {
		t.Errorf("%d claims, want %d", len(lines), 2*times)
	}
	t.Logf("%d claims, the last with epoch %d; it passed from one to the other %d times", len(lines), last, turns-1)
}

// TestStranger: Outcome 59: nobody but its user and root uses a keeper, also if its socket can be reached.
func TestStranger(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can be another user for a moment")
	}
	h := newHome(t)
	attach(t, h, shop("the owner"))
	door := h.Keeper().Door
	if conn, err := dialAs(t, 65534, door); !errors.Is(err, syscall.EACCES) {
		t.Fatalf("another user reaches the socket: %v, %v", conn, err)
	}

	for path := door; path != "/tmp"; path = filepath.Dir(path) {
		if err := os.Chmod(path, 0o777); err != nil {
			t.Fatal(err)
		}
		defer os.Chmod(path, 0o700)
	}
	for _, request := range []string{
		"GET /v1/servers HTTP/1.1\r\nHost: divisi\r\nConnection: close\r\n\r\n",
		"POST /v1/attach HTTP/1.1\r\nHost: divisi\r\nConnection: Upgrade\r\nUpgrade: " + link.Upgrade + "\r\n\r\n",
	} {
		conn, err := dialAs(t, 65534, door)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(conn, request); err != nil {
			t.Error(err)
		}
		if err := conn.(*net.UnixConn).CloseWrite(); err != nil {
			t.Error(err)
		}
		answer, err := io.ReadAll(conn)
		if !strings.Contains(string(answer), `"this keeper belongs to another user"`) {
			t.Errorf("%q is answered by %q, %v", request, answer, err)
		}
		conn.Close()
	}
}

// dialAs connects to a socket as another user. Which user connects is known of the thread that does.
func dialAs(t *testing.T, uid uintptr, path string) (net.Conn, error) {
	t.Helper()
	runtime.LockOSThread()
	become := func(uid uintptr) {
		const same = ^uintptr(0)
		if _, _, errno := syscall.RawSyscall(syscall.SYS_SETRESUID, same, uid, same); errno != 0 {
			t.Fatal(errno) // the thread ends with this goroutine
		}
	}

	become(uid)
	conn, err := net.Dial("unix", path)
	become(0)
	runtime.UnlockOSThread()
	return conn, err
}
