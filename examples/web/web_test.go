//go:build unix

package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// TestDocument: docs/serve.md shows what leads from one program to the other.
func TestDocument(t *testing.T) {
	text, err := os.ReadFile("../../docs/serve.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "```diff\n")
	diff, _, _ := strings.Cut(rest, "```\n")
	for file, skipped := range map[string]string{"before/main.go": "+", "main.go": "-"} {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		_, want, _ := strings.Cut(string(source), "\npackage main\n")
		var got strings.Builder
		for line := range strings.Lines(diff) {
			if !strings.HasPrefix(line, skipped) {
				got.WriteString(line[1:])
			}
		}
		if got.String() != "package main\n"+want {
			t.Errorf("the diff in docs/serve.md is not of examples/web/%s: it gives\n%s", file, got.String())
		}
	}
}

// program builds the example.
var program = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "divisi-web")
	if err != nil {
		return "", err
	}
	file := filepath.Join(dir, "web")
	out, err := exec.Command("go", "build", "-o", file, ".").CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%w: %s", err, out)
	}
	return file, err
})

func TestMain(m *testing.M) {
	code := m.Run()
	if file, err := program(); err == nil {
		os.RemoveAll(filepath.Dir(file))
	}
	os.Exit(code)
}

// command returns a command that runs the example after words, such as those of another program that
// runs it.
func command(t *testing.T, words ...string) *exec.Cmd {
	t.Helper()
	file, err := program()
	if err != nil {
		t.Fatal(err)
	}
	words = append(words, file)
	cmd := exec.CommandContext(t.Context(), words[0], words[1:]...)
	cmd.Stderr = t.Output()
	return cmd
}

// socket opens a listening socket, and returns a file of it for children. That of [net.TCPListener.File]
// would make the socket a blocking one, for all processes that have it, whenever it is passed on.
func socket(t *testing.T) (address string, file *os.File) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	raw, err := l.(*net.TCPListener).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var fd int
	var failed error
	if err := raw.Control(func(original uintptr) { fd, failed = syscall.Dup(int(original)) }); err != nil || failed != nil {
		t.Fatal(err, failed)
	}
	syscall.CloseOnExec(fd)
	file = os.NewFile(uintptr(fd), "web")
	t.Cleanup(func() { file.Close() })
	return l.Addr().String(), file
}

// page fetches the page.
func page(t *testing.T, address string) {
	t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Minute}
	resp, err := client.Get("http://" + address)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); err != nil || string(body) != "Hello!\n" {
		t.Errorf("%q, %v", body, err)
	}
}

// stop asks a program to end, and waits until it has.
func stop(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

// TestAlone: without anybody who opens a socket for it, the program opens one.
func TestAlone(t *testing.T) {
	address, file := socket(t)
	file.Close()
	cmd := command(t)
	cmd.Args = append(cmd.Args, "-address", address)
	ready := supervise(t, cmd)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ready()
	page(t, address)
	stop(t, cmd)
}

// TestSocketActivation: systemd opens a socket, and starts the program when somebody connects to it.
func TestSocketActivation(t *testing.T) {
	const activate = "systemd-socket-activate"
	if _, err := exec.LookPath(activate); err != nil && os.Getenv("CI") != "true" {
		t.Skipf("this machine has no %s", activate)
	}
	for name, options := range map[string][]string{"without a name": nil, "with a name": {"--fdname=web"}} {
		t.Run(name, func(t *testing.T) {
			address, file := socket(t)
			file.Close()
			cmd := command(t, append([]string{activate, "--listen=" + address}, options...)...)
			cmd.Stderr = nil
			stderr, err := cmd.StderrPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			lines := bufio.NewScanner(stderr)
			for lines.Scan() && !strings.Contains(lines.Text(), "Listening on") {
			}
			page(t, address)
			if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			for lines.Scan() {
				t.Log(lines.Text())
			}
			if err := cmd.Wait(); err != nil {
				t.Error(err)
			}
		})
	}
}

// supervise opens a socket on which a program says that it is ready. What it returns waits for that.
func supervise(t *testing.T, cmd *exec.Cmd) (ready func()) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "notify")
	supervisor, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { supervisor.Close() })
	if cmd.Env == nil {
		cmd.Env = os.Environ()
	}
	cmd.Env = append(cmd.Env, "NOTIFY_SOCKET="+name)
	return func() {
		t.Helper()
		var b [100]byte
		supervisor.SetReadDeadline(time.Now().Add(time.Minute))
		if n, err := supervisor.Read(b[:]); err != nil || string(b[:n]) != "READY=1" {
			t.Fatalf("it says %q, %v", b[:n], err)
		}
	}
}
