package e2e

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestFirstDial: whoever dials after divisi start has returned is not refused, although the program is
// far from taking connections. The program never does: what is open is the socket that it inherits.
func TestFirstDial(t *testing.T) {
	dir, err := os.MkdirTemp("", "dial") // paths of sockets are short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	divisi := func(args ...string) (string, error) {
		cmd := exec.Command(os.Args[0], args...)
		cmd.Args[0] = "divisi"
		cmd.Env = append(os.Environ(), "DIVISI_HOME="+filepath.Join(dir, "home"), "XDG_RUNTIME_DIR="+dir)
		printed, err := cmd.CombinedOutput()
		return string(printed), err
	}
	t.Cleanup(func() {
		printed, err := divisi("keeper", "stop", "--yes")
		if err != nil && !strings.Contains(printed, "no keeper runs") {
			t.Errorf("%v\n%s", err, printed)
		}
	})

	listens := map[string]string{"four": "127.0.0.1:0", "six": "[::1]:0", "path": "unix:" + filepath.Join(dir, "x.sock")}
	if l, err := net.Listen("tcp6", "[::1]:0"); err != nil {
		t.Logf("without IPv6: %v", err)
		delete(listens, "six")
	} else {
		l.Close()
	}
	for name, listen := range listens {
		printed, err := divisi("start", name, "--listen", listen, "--", "sleep", "60")
		_, address, found := strings.Cut(printed, " listens at ")
		if err != nil || !found {
			t.Fatalf("%s: %v\n%s", name, err, printed)
		}
		network := "tcp"
		address = strings.TrimSpace(address)
		if strings.HasPrefix(address, "/") {
			network = "unix"
		}
		conn, err := net.Dial(network, address)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		conn.Close()

		if printed, err := divisi("stop", name); err != nil {
			t.Fatalf("%s: %v\n%s", name, err, printed)
		}
		var refused *net.OpError
		if conn, err := net.Dial(network, address); !errors.As(err, &refused) {
			t.Errorf("%s is open after the end: %v, %v", name, conn, err)
		}
	}
}
