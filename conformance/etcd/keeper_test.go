package etcd

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

var kept = flag.Bool("keeper", false, "run the store under a keeper")

// TestReplaced: while a store has its socket from a parent, one process follows another, or is killed, and no connection is
// refused; where it was asked to end, no write fails either.
func TestReplaced(t *testing.T) {
	socket, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	file, err := socket.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	told, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(t.TempDir(), "told"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer told.Close()
	data := filepath.Join(t.TempDir(), "data")
	start := func() *program {
		cmd := exec.Command("sh", "-c", `LISTEN_PID=$$ exec "$0" serve --data "$1"`, filepath.Join(binaries, "divisi-store"), data)
		cmd.ExtraFiles = []*os.File{file}
		cmd.Env = append(os.Environ(), "LISTEN_FDS=1", "LISTEN_FDNAMES=store", "NOTIFY_SOCKET="+told.LocalAddr().String())
		p := started(t, cmd, "ready to serve client requests at ")
		ready(t, told)
		return p
	}

	p := start()
	l := begun(t, socket.Addr().String())
	l.more(t)
	if err := p.end(syscall.SIGTERM); err != nil {
		t.Errorf("SIGTERM ends the store with %v", err)
	}
	p = start()
	l.more(t)
	if writes, connections, done := l.failures(); len(writes)+len(connections) > 0 {
		t.Errorf("with another process, of %d writes failed %v, and of connections %v", done, writes, connections)
	}
	_ = p.end(syscall.SIGKILL)
	start()
	l.more(t)
	if _, connections, _ := l.failures(); len(connections) > 0 {
		t.Errorf("after a kill were refused %v", connections)
	}
	l.end(t)
}

// ready waits until a process has said that it is.
func ready(t *testing.T, told *net.UnixConn) {
	t.Helper()
	if err := told.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	for said := make([]byte, 4096); ; {
		n, err := told.Read(said)
		if err != nil {
			t.Fatalf("the store has not said that it is ready: %v", err)
		}
		if strings.Contains(string(said[:n]), "READY=1") {
			return
		}
	}
}

// TestKeeper: the commands of docs/store.md run the store under a keeper. When its process is replaced, no write and no
// connection fails; when it is killed, it comes back with all that it had, and nobody is refused meanwhile.
func TestKeeper(t *testing.T) {
	if !*kept {
		t.Skip("the command divisi is linked for this with -keeper only, as make soak does")
	}
	k := newKeeper(t)
	address := freeAddress(t)
	lines := k.documented(t, "\ndivisi start keys@/store", address)
	if len(lines) != 2 {
		t.Fatalf("docs/store.md has the commands %q", lines)
	}
	document := strings.Join(k.documented(t, "toml\n[ensemble]", address), "\n")
	if err := os.WriteFile(filepath.Join(k.dir, "ensemble.toml"), []byte(document), 0o600); err != nil {
		t.Fatal(err)
	}
	if plan := k.do(t, "divisi ensemble plan ensemble.toml"); !strings.Contains(plan, "keys") {
		t.Errorf("the ensemble of docs/store.md would be %s", plan)
	}
	k.do(t, lines[0])
	l := begun(t, address)
	l.more(t)
	k.do(t, lines[1])
	l.more(t)
	if writes, connections, done := l.failures(); len(writes)+len(connections) > 0 {
		t.Errorf("with another process, of %d writes failed %v, and of connections %v", done, writes, connections)
	}

	if err := syscall.Kill(k.pid(t), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	l.more(t)
	if _, connections, _ := l.failures(); len(connections) > 0 {
		t.Errorf("after a kill were refused %v", connections)
	}
	l.end(t)
}

// keeper is a folder of state, and the command.
type keeper struct {
	dir string
	env []string
}

func newKeeper(t *testing.T) *keeper {
	t.Helper()
	build := exec.Command("go", "build", "-o", filepath.Join(binaries, "divisi"), "github.com/divisi-go/divisi/cmd/divisi")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	sockets, err := os.MkdirTemp("", "k") // their paths may not be long
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(sockets) })
	k := &keeper{dir: t.TempDir()}
	k.env = []string{"PATH=" + binaries + ":" + os.Getenv("PATH"), "HOME=" + k.dir, "DIVISI_HOME=" + filepath.Join(k.dir, "home"), "XDG_RUNTIME_DIR=" + sockets}
	t.Cleanup(func() { k.do(t, "divisi keeper stop --yes") })
	return k
}

// do runs a line of a shell.
func (k *keeper) do(t *testing.T, line string) string {
	t.Helper()
	cmd := exec.Command("sh", "-c", line)
	cmd.Env, cmd.Dir = k.env, k.dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%s: %v\n%s", line, err, out)
	}
	return string(out)
}

// documented returns the lines of the block of docs/store.md that begins so, at another address than there.
func (k *keeper) documented(t *testing.T, begins, address string) []string {
	t.Helper()
	text, err := os.ReadFile("../../docs/store.md")
	if err != nil {
		t.Fatal(err)
	}
	_, block, found := strings.Cut(string(text), "```"+begins)
	_, first, _ := strings.Cut(begins, "\n")
	block, _, closed := strings.Cut(first+block, "\n```")
	if !found || !closed {
		t.Fatalf("docs/store.md has no block that begins with %q", begins)
	}
	return strings.Split(strings.ReplaceAll(block, "localhost:2379", address), "\n")
}

func (k *keeper) pid(t *testing.T) int {
	t.Helper()
	var said struct{ PID int }
	out := k.do(t, "divisi status keys@/store -o json")
	if err := json.Unmarshal([]byte(out), &said); err != nil || said.PID == 0 {
		t.Fatalf("divisi status says %s: %v", out, err)
	}
	return said.PID
}

// load writes to a store and connects to it until it ends.
type load struct {
	cancel context.CancelFunc
	all    sync.WaitGroup
	client *clientv3.Client

	mu                  sync.Mutex // guards what follows
	done                int
	writes, connections []error
}

func begun(t *testing.T, address string) *load {
	t.Helper()
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{address}, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	l := &load{cancel: cancel, client: client}
	l.all.Go(func() {
		for ctx.Err() == nil {
			asked, cancel := context.WithTimeout(ctx, time.Minute)
			_, err := client.Put(asked, "counter", fmt.Sprint(l.count()))
			cancel()
			l.add(ctx, &l.writes, err)
		}
	})
	l.all.Go(func() {
		ticker := time.NewTicker(5 * time.Millisecond) // a port is not free again at once
		defer ticker.Stop()
		for ; ctx.Err() == nil; <-ticker.C {
			c, err := (&net.Dialer{Timeout: time.Minute}).DialContext(ctx, "tcp", address)
			if err == nil {
				_ = c.Close()
			}
			l.add(ctx, &l.connections, err)
		}
	})
	t.Cleanup(func() { l.cancel(); l.all.Wait(); _ = client.Close() })
	return l
}

func (l *load) add(ctx context.Context, to *[]error, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case err == nil && to == &l.writes:
		l.done++
	case err != nil && ctx.Err() == nil:
		*to = append(*to, err)
	}
}

func (l *load) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.done
}

func (l *load) failures() (writes, connections []error, done int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.writes, l.connections, l.done
}

// more waits for some writes more.
func (l *load) more(t *testing.T) {
	t.Helper()
	from := l.count()
	until(t, "the store answers", func() bool { return l.count() > from+20 })
}

// end ends the load, and sees that what was answered last is there.
func (l *load) end(t *testing.T) {
	t.Helper()
	l.cancel()
	l.all.Wait()
	r, err := l.client.Get(t.Context(), "counter")
	if err != nil || len(r.Kvs) != 1 || r.Kvs[0].Version < int64(l.count()) {
		t.Errorf("%d writes were answered, and there is %v: %v", l.count(), r, err)
	}
}
