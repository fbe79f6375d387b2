//go:build linux

package agent

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/divisi-go/divisi/internal/keeper/door"
)

func TestMain(m *testing.M) {
	door.Enter()
	Enter("/test")
	os.Exit(m.Run())
}

// machine returns one that has nothing, and its state folder.
func machine(t *testing.T) (Here, string) {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "agent")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	state := filepath.Join(dir, "state")
	return Here{"far", []string{"DIVISI_HOME=" + state, "XDG_RUNTIME_DIR=" + dir, "GORACE=atexit_sleep_ms=0"}}, state
}

// reach has an agent on a machine answer, which ends then.
func reach(t *testing.T, m Machine) error {
	t.Helper()
	c, err := newClient(m)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.current(t.Context()); err != nil {
		return err
	}
	return c.Reach(t.Context())
}

// TestDamaged: a program that is damaged on the machine is sent again, and nothing is left of what has not arrived.
func TestDamaged(t *testing.T) {
	m, state := machine(t)
	if err := reach(t, m); err != nil {
		t.Fatal(err)
	}
	kept, err := filepath.Glob(filepath.Join(state, "cas", "*", "*"))
	if err != nil || len(kept) != 1 {
		t.Fatalf("there is %q, %v", kept, err)
	}
	text, err := os.ReadFile(kept[0])
	if err == nil {
		err = errors.Join(os.Remove(kept[0]), os.WriteFile(kept[0], append(text, 'x'), 0o500))
	}
	if err != nil {
		t.Fatal(err)
	}

	if err := reach(t, m); err != nil {
		t.Error(err)
	}
	left, err := os.ReadDir(filepath.Join(state, "cas"))
	if err != nil || len(left) != 1 {
		t.Errorf("there is %v, %v", left, err)
	}
	if i, err := os.Stat(kept[0]); err != nil || i.Size() != int64(len(text)) {
		t.Errorf("the program is %v, %v", i, err)
	}
}

// TestCutOff: a program that arrives in part is not kept.
func TestCutOff(t *testing.T) {
	m, state := machine(t)
	err := m.Run(t.Context(), strings.NewReader("half"), io.Discard, "sh", "-c", arrive, "divisi", "sum", "name", "8", "x")
	if err == nil || !strings.Contains(err.Error(), "not arrived whole") {
		t.Error(err)
	}
	if left, err := os.ReadDir(filepath.Join(state, "cas")); err != nil || len(left) != 0 {
		t.Errorf("there is %v, %v", left, err)
	}
}

// TestFits: a machine of another kind is not sent the program.
func TestFits(t *testing.T) {
	me, err := readSelf()
	if err != nil {
		t.Fatal(err)
	}
	if err := me.fits("Darwin arm64"); err == nil || !strings.Contains(err.Error(), "Darwin arm64") {
		t.Error(err)
	}
	if err := me.fits("Linux pdp11"); err == nil {
		t.Error("the program fits a PDP-11")
	}
	if got := nameOf("a b;$c-1.x"); got != "a_b__c-1.x" {
		t.Errorf("the name is %q", got)
	}
}

// FuzzGreet: a machine may say anything first.
func FuzzGreet(f *testing.F) {
	f.Add([]byte(`{"missing":"Linux x86_64"}`))
	f.Add([]byte(`{"socket":"/run/a","door":"/run/b","data":"/d","logs":"/l"}`))
	f.Fuzz(func(_ *testing.T, line []byte) {
		_, _ = greet(line)
	})
}

// FuzzUpgrade: an agent may answer anything to who wants a connection.
func FuzzUpgrade(f *testing.F) {
	f.Add("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: divisi-dial\r\n\r\ntext")
	f.Add("HTTP/1.1 422 Unprocessable\r\nContent-Length: 15\r\n\r\n{\"error\":\"nope\"}")
	f.Fuzz(func(_ *testing.T, said string) {
		near, far := net.Pipe()
		defer near.Close()
		over := make(chan struct{})
		go func() {
			defer close(over)
			defer far.Close()
			if _, err := http.ReadRequest(bufio.NewReader(far)); err == nil {
				_, _ = io.WriteString(far, said) // as far as it is read
			}
		}()
		conn, err := upgrade(near, "tcp", "localhost:1")
		if err == nil {
			_, _ = io.Copy(io.Discard, conn) // however it ends
		}
		near.Close()
		<-over
	})
}
