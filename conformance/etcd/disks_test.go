package etcd

import (
	"bufio"
	"context"
	"flag"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"

	"github.com/divisi-go/divisi/lab"
	"github.com/divisi-go/divisi/lab/disk"
)

var cuts = flag.Int("cuts", 2, "how often the store loses its power")

// host is a host of a lab on which a store runs.
type host struct {
	*lab.Host
	t     *testing.T
	log   *os.File
	ended chan int // its exit code
}

func newHost(t *testing.T) *host {
	t.Helper()
	log, err := os.CreateTemp(t.TempDir(), "log")
	if err != nil {
		t.Fatal(err)
	}
	return &host{Host: lab.New(t, lab.Config{Share: []string{binaries}}).Host("host1"), t: t, log: log}
}

// clients are of the store on the host.
func (h *host) clients() clientv3.Config {
	return clientv3.Config{Endpoints: []string{"host1:2379"}, DialOptions: []grpc.DialOption{
		grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) { return h.Dial(ctx, "tcp", address) }),
	}}
}

// serve starts the store in a folder, and returns when it serves.
func (h *host) serve(dir string) {
	h.t.Helper()
	read, write, err := os.Pipe()
	if err != nil {
		h.t.Fatal(err)
	}
	defer read.Close()
	ended := make(chan int, 1)
	h.ended = ended
	go func() {
		defer write.Close()
		exit, _ := h.Run(h.t.Context(), lab.Command{
			Args:   []string{filepath.Join(binaries, "divisi-store"), "serve", "--data", dir, "--listen", ":2379"},
			Stdout: write, Stderr: h.log,
		})
		ended <- exit
	}()
	for lines := bufio.NewScanner(read); lines.Scan(); {
		if strings.Contains(lines.Text(), announced) {
			return
		}
	}
	h.t.Fatalf("the store does not serve: %s", h.said())
}

// said returns what the store has said about errors.
func (h *host) said() string {
	text, _ := io.ReadAll(io.NewSectionReader(h.log, 0, 1<<20))
	return string(text)
}

// change changes the disk of the host that has the log, or the one that has the database.
func (h *host) change(path string, c disk.Change) {
	h.t.Helper()
	if err := h.FaultyDisk(h.t.Context(), path, 1<<30, c); err != nil {
		h.t.Fatal(err)
	}
}

// cycle takes the power of the host, and gives it back.
func (h *host) cycle() {
	h.t.Helper()
	for _, step := range []func(context.Context) error{h.Kill, h.Boot} {
		if err := step(h.t.Context()); err != nil {
			h.t.Fatal(err)
		}
	}
}

// fails returns when the store has ended because of a disk, and said why.
func (h *host) fails(why string) {
	h.t.Helper()
	select {
	case exit := <-h.ended:
		if exit != 1 {
			h.t.Errorf("the store has ended with %d", exit)
		}
	case <-time.After(patience):
		h.t.Fatalf("the store goes on without a disk, and has not said %q: %s", why, h.said())
	}
	if said := h.said(); !strings.Contains(said, why) {
		h.t.Errorf("it has not said %q: %s", why, said)
	}
	if err := h.log.Truncate(0); err != nil {
		h.t.Error(err)
	}
}

// TestDisks: disks that forget at a power cut what was not synced, ones whose syncs or writes fail, and one that is
// slow: nothing is lost that was answered, and a store that cannot write ends at once and says why, also where what has met that keeps
// its locks for ever.
func TestDisks(t *testing.T) {
	device, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if err != nil && os.Getenv("CI") != "true" {
		t.Skipf("a disk with faults cannot be made here: %v", err)
	}
	_ = device.Close()
	h := newHost(t)
	h.change("/log", disk.Normal())
	h.change("/database", disk.Normal())
	if _, err := h.Exec(t.Context(), "sh", "-ec", "umask 077; mkdir -p /log/data/member; ln -s /database /log/data/member/snap"); err != nil {
		t.Fatal(err)
	}
	h.cycle() // what there is now stays
	h.change("/log", disk.Forget())
	h.change("/database", disk.Forget())
	h.serve("/log/data")
	r := try(t, h.clients(), true)
	for range *cuts {
		r.wait(50 + rand.IntN(100))
		h.cycle()
		h.serve("/log/data")
	}

	for _, fault := range []struct {
		disk   string
		change disk.Change
		why    string
	}{
		{"/log", disk.Fail(disk.Fsync, 0), "cannot write the log in /log/data/member/wal: input/output error"},
		{"/database", disk.Fail(disk.Write, 0), "input/output error"},
		{"/database", disk.Fail(disk.Fsync, 0), "input/output error"},
	} {
		r.wait(20)
		h.change(fault.disk, fault.change)
		h.fails(fault.why)
		h.change(fault.disk, disk.Normal())
		h.serve("/log/data")
	}

	h.change("/log", disk.Slow(20*time.Millisecond))
	r.wait(10)
	h.change("/log", disk.Normal())
	if err := r.end(); err != nil {
		t.Errorf("%.2000s", err)
	}
	t.Logf("%d power cuts: %s", *cuts, r)
}
