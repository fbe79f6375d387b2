//go:build unix

package divisi

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/divisi-go/divisi/serve"
)

// supervisedVar makes the test's binary an application of one process: alone, or as a member of a program
// that serves another page as well.
const supervisedVar = "DIVISI_TEST_SUPERVISED"

func TestMain(m *testing.M) {
	role := os.Getenv(supervisedVar)
	if role == "" {
		os.Exit(m.Run())
	}
	page := func(text string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, text) })
	}
	application := serve.Func(func(ctx context.Context) error { return Run(ctx, Handler(page("http"))) })
	err := func() error {
		if role == "alone" {
			return application(context.Background())
		}
		l, err := serve.Listener("admin", "")
		if err != nil {
			return err
		}
		return serve.Run(context.Background(), serve.Server(l, &http.Server{Handler: page("admin")}), application)
	}()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// TestSupervised: an application of one process takes the socket that systemd opened for it, says when
// it is ready and when it stops, and meanwhile gives signs of life.
func TestSupervised(t *testing.T) {
	t.Run("alone", func(t *testing.T) { testSupervised(t, "alone", "http") })
	t.Run("with others", func(t *testing.T) { testSupervised(t, "with others", "http", "admin") })
}

func testSupervised(t *testing.T, role string, names ...string) {
	addresses := map[string]string{}
	var sockets []*os.File
	for _, name := range names {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		socket, err := l.(*net.TCPListener).File()
		if err != nil {
			t.Fatal(err)
		}
		defer socket.Close()
		sockets = append(sockets, socket)
		addresses[name] = l.Addr().String()
	}
	name := filepath.Join(t.TempDir(), "notify")
	supervisor, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer supervisor.Close()
	if err := supervisor.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}

	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.ExtraFiles = sockets
	cmd.Env = append(os.Environ(), supervisedVar+"="+role, "DIVISI_CONFIG=", "SERVICEWEAVER_CONFIG=",
		fmt.Sprintf("LISTEN_FDS=%d", len(names)), "LISTEN_FDNAMES="+strings.Join(names, ":"),
		"NOTIFY_SOCKET="+name, "WATCHDOG_USEC=20000")
	cmd.Stderr = t.Output()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var heard []string
	hear := func(want string) {
		t.Helper()
		for len(heard) == 0 || heard[len(heard)-1] != want {
			var b [100]byte
			n, err := supervisor.Read(b[:])
			if err != nil {
				t.Fatalf("waiting for %s after %q: %v", want, heard, err)
			}
			heard = append(heard, string(b[:n]))
		}
	}

	hear("READY=1")
	hear("WATCHDOG=1")
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Minute}
	for name, address := range addresses {
		resp, err := client.Get("http://" + address)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if body, err := io.ReadAll(resp.Body); err != nil || string(body) != name {
			t.Errorf("%s: %q, %v", name, body, err)
		}
	}
	if slices.Contains(heard, "STOPPING=1") {
		t.Errorf("before anybody asked it says %q", heard)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	hear("STOPPING=1")
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}
