package notify_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/divisi-go/divisi/internal/notify"
)

// roleVar makes the test binary a child that sends, instead of running tests.
const roleVar = "NOTIFY_TEST_ROLE"

func TestMain(m *testing.M) {
	if os.Getenv(roleVar) == "" {
		os.Exit(m.Run())
	}
	if err := store(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(98)
	}
}

// store says that this process is ready, gives the end of a pipe away, into which it writes, and ends
// when that was seen.
func store() error {
	conn, err := dial(os.Getenv("NOTIFY_SOCKET"))
	if err != nil {
		return err
	}
	defer conn.Close()
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close()
	fmt.Fprint(w, "kept")
	if err := w.Close(); err != nil {
		return err
	}
	if err := send(conn, "READY=1", nil); err != nil {
		return err
	}
	if err := send(conn, "FDSTORE=1\nFDNAME=pipe", []*os.File{r}); err != nil {
		return err
	}

	return barrier(conn)
}

func dial(path string) (*net.UnixConn, error) {
	return net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
}

func send(conn *net.UnixConn, text string, files []*os.File) error {
	var fds []int
	for _, f := range files {
		raw, err := f.SyscallConn()
		if err != nil {
			return err
		}
		if err := raw.Control(func(fd uintptr) { fds = append(fds, int(fd)) }); err != nil {
			return err
		}
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var sendErr error
	err = raw.Write(func(fd uintptr) bool {
		sendErr = syscall.Sendmsg(int(fd), []byte(text), syscall.UnixRights(fds...), nil, 0)
		return sendErr != syscall.EAGAIN
	})

	return errors.Join(err, sendErr)
}

// barrier waits until all that was sent before has been handled.
func barrier(conn *net.UnixConn) error {
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close()
	err = send(conn, "BARRIER=1", []*os.File{w})
	if err := errors.Join(err, w.Close()); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, r)

	return err
}

func listen(t *testing.T) *notify.Server {
	t.Helper()
	s, err := notify.Listen(filepath.Join(t.TempDir(), "notify"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })

	return s
}

// record is what a server was told.
type record struct {
	mu   sync.Mutex
	said []notify.Message
	kept []*os.File
}

// all returns what was said, and the files that were taken.
func (r *record) all() ([]notify.Message, []*os.File) {
	r.mu.Lock()
	defer r.mu.Unlock()

	return r.said, r.kept
}

// serve records the messages until the test ends, and takes their files if it is asked to.
func serve(t *testing.T, s *notify.Server, take bool) *record {
	t.Helper()
	var r record
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() {
		served <- s.Serve(ctx, func(m *notify.Message) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.said = append(r.said, *m)
			if take {
				r.kept = append(r.kept, m.Take()...)
			}
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})

	return &r
}

// command runs systemd's own command, which waits until all is handled, and returns what it has said.
func command(t *testing.T, args ...string) notify.Message {
	t.Helper()
	path, err := exec.LookPath("systemd-notify")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip("systemd-notify is not installed")
	}

	s := listen(t)
	record := serve(t, s, false)
	cmd := exec.CommandContext(t.Context(), path, args...)
	cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+s.Path())
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("systemd-notify %q: %v: %s", args, err, out)
	}
	said, _ := record.all()
	if len(said) != 1 {
		t.Fatalf("systemd-notify %q has said %+v", args, said)
	}
	// It sends in the name of its parent, or of the main process that it names, if it may.
	if pid := said[0].Pid; pid != os.Getpid() && pid != cmd.Process.Pid && pid != said[0].MainPid {
		t.Errorf("process %d has sent; it is %d, its parent %d", pid, cmd.Process.Pid, os.Getpid())
	}

	return said[0]
}

func TestSystemdNotify(t *testing.T) {
	m := command(t, "--ready", "--status=serves 3 clients")
	if !m.Ready || m.Status == nil || *m.Status != "serves 3 clients" || m.Fault != nil {
		t.Errorf("--ready --status: %+v", m)
	}

	m = command(t, "--pid="+strconv.Itoa(os.Getppid()))
	if m.MainPid != os.Getppid() || m.Ready {
		t.Errorf("--pid: %+v", m)
	}

	m = command(t, "WATCHDOG=1", "WATCHDOG_USEC=5000000", "X_UNKNOWN=1")
	if !m.Alive || m.Watchdog == nil || m.Watchdog.Seconds() != 5 || m.Fault != nil {
		t.Errorf("WATCHDOG: %+v", m)
	}

	m = command(t, "FDSTOREREMOVE=1", "FDNAME=web")
	if !m.Remove || m.FDName != "web" {
		t.Errorf("FDSTOREREMOVE: %+v", m)
	}
}

func TestSystemdNotifyFile(t *testing.T) {
	help, _ := exec.CommandContext(t.Context(), "systemd-notify", "--help").Output()
	if !strings.Contains(string(help), "--fd=") {
		t.Skip("this systemd-notify passes no descriptors: that is new in systemd 254")
	}

	m := command(t, "--fd=0", "--fdname=input", "FDSTORE=1")
	if !m.Store || m.FDName != "input" || len(m.Files) != 1 {
		t.Errorf("--fd: %+v", m)
	}
}

func TestChildOfAnotherSession(t *testing.T) {
	s := listen(t)
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe)
	cmd.Env = []string{roleVar + "=store", "NOTIFY_SOCKET=" + s.Path()}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.Stderr = os.Stderr

	record := serve(t, s, true)
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}

	said, kept := record.all()
	if len(said) != 2 || !said[0].Ready || !said[1].Store || said[1].FDName != "pipe" || len(kept) != 1 {
		t.Fatalf("it has said %+v, with %d files", said, len(kept))
	}
	for _, m := range said {
		if m.Pid != cmd.Process.Pid || m.Fault != nil {
			t.Errorf("from process %d comes %+v", cmd.Process.Pid, m)
		}
	}
	defer kept[0].Close()
	if flags := flagsOf(t, kept[0]); flags&syscall.FD_CLOEXEC == 0 {
		t.Error("children of this process inherit what was given to it")
	}
	if text, err := io.ReadAll(kept[0]); err != nil || string(text) != "kept" {
		t.Errorf("in the pipe is %q, %v", text, err)
	}
}

func flagsOf(t *testing.T, f *os.File) uintptr {
	t.Helper()
	raw, err := f.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var flags uintptr
	err = raw.Control(func(fd uintptr) { flags, _, _ = syscall.Syscall(syscall.SYS_FCNTL, fd, syscall.F_GETFD, 0) })
	if err != nil {
		t.Fatal(err)
	}

	return flags
}

// TestFilesAreClosed: whoever sends what nobody takes, or too much, leaves nothing open.
func TestFilesAreClosed(t *testing.T) {
	s := listen(t)
	record := serve(t, s, false)
	conn, err := dial(s.Path())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()

	for text, many := range map[string]int{"FDSTORE=1": 64, "FDSTORE=1\nFDNAME=many": 65, "READY=1": 3} {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		files := make([]*os.File, many)
		for i := range files {
			files[i] = w
		}
		err = send(conn, text, files)
		if err := errors.Join(err, w.Close()); err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, r); err != nil { // ends when nobody has the other end
			t.Error(err)
		}
		if err := errors.Join(r.Close(), barrier(conn)); err != nil {
			t.Fatal(err)
		}

		said, _ := record.all()
		m := said[len(said)-1]
		if tooMany := many > 64; tooMany != (m.Fault != nil) || tooMany && m.Store {
			t.Errorf("%d descriptors: %+v", many, m)
		}
	}
}

// TestTooLong: a message that is too long counts for nothing, and the next one counts.
func TestTooLong(t *testing.T) {
	s := listen(t)
	record := serve(t, s, false)
	conn, err := dial(s.Path())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()

	for _, text := range []string{"READY=1\nSTATUS=" + strings.Repeat("x", 4096), "", "READY=1"} {
		if err := send(conn, text, nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := barrier(conn); err != nil {
		t.Fatal(err)
	}
	said, _ := record.all()
	if len(said) != 3 || said[0].Ready || said[0].Fault == nil || said[1].Fault != nil || !said[2].Ready {
		t.Errorf("said is %+v", said)
	}
	if want := "it has more than 4096 bytes"; !strings.Contains(said[0].Fault.Error(), want) {
		t.Errorf("the fault is %v, want %s", said[0].Fault, want)
	}
}

// TestAdopt: what is sent while nobody serves is handled by whoever takes the socket over.
func TestAdopt(t *testing.T) {
	s := listen(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Serve(ctx, func(*notify.Message) {}); err != nil {
		t.Fatal(err)
	}
	conn, err := dial(s.Path())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := send(conn, "READY=1", nil); err != nil {
		t.Fatal(err)
	}

	socket, err := s.File()
	if err != nil {
		t.Fatal(err)
	}
	next, err := notify.Adopt(s.Path(), socket)
	if err != nil {
		t.Fatal(err)
	}
	said := make(chan notify.Message, 1)
	served := make(chan error, 1)
	go func() { served <- next.Serve(t.Context(), func(m *notify.Message) { said <- *m }) }()
	if m := <-said; !m.Ready || m.Pid != os.Getpid() {
		t.Errorf("said is %+v", m)
	}
	if err := next.Close(); err != nil {
		t.Error(err)
	}
	if err := <-served; !errors.Is(err, net.ErrClosed) {
		t.Errorf("a closed server ends with %v", err)
	}
	if _, err := os.Stat(s.Path()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the socket is left: %v", err)
	}

	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if _, err := notify.Adopt("/nowhere", r); err == nil || !strings.Contains(err.Error(), "/nowhere") {
		t.Errorf("a pipe is taken over: %v", err)
	}
}

// TestAbstract: a name that is no file.
func TestAbstract(t *testing.T) {
	name := fmt.Sprintf("@divisi-notify-test-%d", os.Getpid())
	s, err := notify.Listen(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	second, err := notify.Listen(name)
	if err != nil {
		t.Fatal(err)
	}
	if second.Path() == name || !strings.HasPrefix(second.Path(), name) {
		t.Errorf("the name of a second server is %s", second.Path())
	}
	second.Close()
	record := serve(t, s, false)
	conn, err := dial(s.Path())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := errors.Join(send(conn, "READY=1", nil), barrier(conn)); err != nil {
		t.Fatal(err)
	}
	if said, _ := record.all(); len(said) != 1 || !said[0].Ready || said[0].Pid != os.Getpid() {
		t.Errorf("said is %+v", said)
	}
}

func TestListen(t *testing.T) {
	s := listen(t)
	if _, err := notify.Listen(s.Path()); !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), s.Path()) {
		t.Errorf("a second server: %v", err)
	}

	// A process that was killed leaves its socket.
	path := filepath.Join(t.TempDir(), "left")
	left, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	left.Close()
	if _, err := os.Stat(path); err != nil {
		t.Fatal(err)
	}
	next, err := notify.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	next.Close()

	path = filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := notify.Listen(path); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("in place of a file: %v", err)
	}

	long := "/tmp/" + strings.Repeat("x", 103)
	if _, err := notify.Listen(long); err == nil || !strings.Contains(err.Error(), "the path has 108 bytes, a socket's at most 107") {
		t.Errorf("at a long path: %v", err)
	}
}

// TestKeep: what a process has its supervisor keep comes with its name, and is given up by that.
func TestKeep(t *testing.T) {
	s := listen(t)
	record := serve(t, s, true)
	supervisor := notify.At(s.Path())
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	raw, err := r.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var keepErr error
	err = raw.Control(func(fd uintptr) { keepErr = supervisor.Keep("pipe", int(fd)) })
	err = errors.Join(err, keepErr, supervisor.Drop("other"), supervisor.Settle(t.Context()))
	fmt.Fprint(w, "kept")
	if err := errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}

	said, kept := record.all()
	if len(said) != 2 || !said[0].Store || said[0].FDName != "pipe" || len(kept) != 1 ||
		!said[1].Remove || said[1].FDName != "other" || errors.Join(said[0].Fault, said[1].Fault) != nil {
		t.Fatalf("it has said %+v, with %d files", said, len(kept))
	}
	defer kept[0].Close()
	if text, err := io.ReadAll(kept[0]); err != nil || string(text) != "kept" {
		t.Errorf("in the pipe is %q, %v", text, err)
	}

	if err := supervisor.Keep("a:b", 0); err == nil || !strings.Contains(err.Error(), `"a:b"`) {
		t.Errorf("a name with a colon: %v", err)
	}
	if said, _ := record.all(); len(said) != 2 {
		t.Errorf("it has said %+v", said)
	}
}

// TestSettleBusy: a supervisor that does nothing delays nobody for longer than he wants.
func TestSettleBusy(t *testing.T) {
	s := listen(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := notify.At(s.Path()).Settle(ctx); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "busy") {
		t.Errorf("it settles: %v", err)
	}
}
