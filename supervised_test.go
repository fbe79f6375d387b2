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
	"syscall"
	"testing"
	"time"
)

// supervisedVar makes the test's binary an application of one process.
const supervisedVar = "DIVISI_TEST_SUPERVISED"

func TestMain(m *testing.M) {
	if os.Getenv(supervisedVar) == "" {
		os.Exit(m.Run())
	}
	page := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "served") })
	if err := Run(context.Background(), Handler(page)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// TestSupervised: an application of one process takes the socket that systemd opened for it, says when
// it is ready and when it stops, and meanwhile gives signs of life.
func TestSupervised(t *testing.T) {
	web, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer web.Close()
	socket, err := web.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
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
	cmd.ExtraFiles = []*os.File{socket}
	cmd.Env = append(os.Environ(), supervisedVar+"=1", "DIVISI_CONFIG=", "SERVICEWEAVER_CONFIG=",
		"LISTEN_FDS=1", "LISTEN_FDNAMES=http.socket", "NOTIFY_SOCKET="+name, "WATCHDOG_USEC=20000")
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
	resp, err := client.Get("http://" + web.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); err != nil || string(body) != "served" {
		t.Errorf("%q, %v", body, err)
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
