//go:build linux

package agent

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/divisi-go/divisi/internal/keeper/door"
	"github.com/divisi-go/divisi/internal/program"
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
	c, err := newClient(m, "")
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

// cut is a machine whose line is cut after some bytes of every upload.
type cut struct {
	Here
	after int64
	sent  atomic.Int64
	times atomic.Int64
}

// Run implements [Machine].
func (c *cut) Run(ctx context.Context, in io.Reader, out io.Writer, args ...string) error {
	if args[2] != arrive {
		return c.Here.Run(ctx, in, out, args...)
	}
	c.times.Add(1)
	counted := io.TeeReader(io.LimitReader(in, c.after), counter{&c.sent})
	return c.Here.Run(ctx, counted, out, args...)
}

type counter struct{ n *atomic.Int64 }

func (c counter) Write(p []byte) (int, error) {
	c.n.Add(int64(len(p)))
	return len(p), nil
}

// TestCutOff: a program whose upload is cut off again and again goes on to arrive, compressed, and leaves nothing else.
func TestCutOff(t *testing.T) {
	here, state := machine(t)
	i, err := os.Stat(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	m := &cut{Here: here, after: 2 << 20}
	if err := reach(t, m); err != nil {
		t.Fatal(err)
	}
	if m.times.Load() < 3 || m.sent.Load() > i.Size() {
		t.Errorf("%d bytes are sent for %d, in %d times", m.sent.Load(), i.Size(), m.times.Load())
	}
	t.Logf("%d bytes are sent for %d, in %d times", m.sent.Load(), i.Size(), m.times.Load())
	if left, err := os.ReadDir(filepath.Join(state, "cas")); err != nil || len(left) != 1 {
		t.Errorf("there is %v, %v", left, err)
	}
}

// TestNoProgress: an upload of which nothing arrives is not tried for ever.
func TestNoProgress(t *testing.T) {
	here, _ := machine(t)
	m := &cut{Here: here}
	if err := reach(t, m); err == nil || !strings.Contains(err.Error(), "not arrived whole") || m.times.Load() != 1 {
		t.Errorf("%v after %d times", err, m.times.Load())
	}
}

// TestFits: a machine of another kind gets the build for that, or one is told which one it needs.
func TestFits(t *testing.T) {
	me, err := readSelf()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := filepath.Join(dir, me.name+"-linux-pdp11")
	wrong := func(words string) {
		t.Helper()
		_, err := me.fit("Linux pdp11", dir)
		if err == nil || !strings.Contains(err.Error(), words) || !strings.HasSuffix(err.Error(), "GOOS=linux GOARCH=pdp11 go build -o "+file) {
			t.Errorf("%v, want %q", err, words)
		}
	}
	wrong("it is linux/pdp11, and this program was built for " + program.Here)
	if err := os.WriteFile(file, []byte("text"), 0o700); err != nil {
		t.Fatal(err)
	}
	wrong("is no program for linux/pdp11")
	if err := errors.Join(os.Remove(file), os.Symlink(program.Running, file)); err != nil {
		t.Fatal(err)
	}
	wrong("was built for " + program.Here)
	if _, err := me.fit("Darwin arm64", dir); err == nil || !strings.Contains(err.Error(), "GOOS=darwin GOARCH=arm64") {
		t.Error(err)
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
