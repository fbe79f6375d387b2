package etcd

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// serveOnSmallDisk serves the store on a disk of its own, in namespaces of its own, and returns where this process finds that.
func serveOnSmallDisk(t *testing.T, size string) (p *program, disk string) {
	t.Helper()
	dir := t.TempDir()
	cmd := exec.Command("sh", "-c", `mount -t tmpfs -o size=`+size+` none "$1" && exec "$2" serve --data "$1/data" --listen 127.0.0.1:0`,
		"sh", dir, filepath.Join(binaries, "divisi-store"))
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
	}
	probe := exec.Command("true")
	probe.SysProcAttr = cmd.SysProcAttr
	if err := probe.Run(); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("this machine has no namespaces for users: %v", err)
		}
		t.Skipf("a small disk needs a namespace, which this machine does not give: %v", err)
	}
	p = started(t, cmd, "ready to serve client requests at ")
	return p, filepath.Join("/proc", strconv.Itoa(cmd.Process.Pid), "root", dir)
}

// TestDiskFull: on a disk that others have filled, what is stored can be read, deleted and compacted; writes are refused, and
// work again when there is room. The commands are those of the runbook in docs/store.md.
func TestDiskFull(t *testing.T) {
	p, disk := serveOnSmallDisk(t, "400m")
	reserve := filepath.Join(disk, "data", "reserve")
	until(t, "the reserve is taken", func() bool {
		info, err := os.Stat(reserve)
		return err == nil && info.Size() == 64<<20
	})
	p.tool(t, "put", "a", "1")
	p.tool(t, "put", "a", "2")
	filler := filepath.Join(disk, "filler")
	fill(t, filler)

	store := "--store=" + strings.TrimPrefix(p.url, "http://")
	says := func(want, command string) {
		t.Helper()
		fields := strings.Fields(command)
		out, err := run(t, "divisi-store", append([]string{fields[0], store}, fields[1:]...)...)
		if !strings.Contains(out, want) {
			t.Errorf("divisi store %s says %q and not %q: %v", command, out, want, err)
		}
	}
	alarmed := func() bool {
		out, _ := run(t, "divisi-store", "status", store)
		return strings.Contains(out, "NOSPACE")
	}
	until(t, "the alarm is on", alarmed)
	if _, err := os.Stat(reserve); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the reserve is still held: %v", err)
	}
	says("database space exceeded: delete what is not needed", "put b 1")
	says("2\n", "get a")
	says("", "delete a")
	says("is forgotten", "compact")
	says("is defragmented", "defrag")

	says("ended NOSPACE", "disarm")
	until(t, "the alarm comes back", alarmed)
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	says("ended NOSPACE", "disarm")
	says("", "put b 1")
	says("1\n", "get b")
	until(t, "the reserve is taken again", func() bool {
		_, err := os.Stat(reserve)
		return err == nil
	})
}

// fill writes a file until the disk is full.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	chunk := make([]byte, 1<<20)
	for range 1000 {
		if _, err = f.Write(chunk); err != nil {
			break
		}
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("the disk is not full: %v", err)
	}
}

// until waits for a condition.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for deadline := time.Now().Add(2 * time.Minute); !ok(); <-ticker.C {
		if time.Now().After(deadline) {
			t.Fatalf("it is not so that %s", what)
		}
	}
}
