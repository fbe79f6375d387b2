package lab_test

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/divisi-go/divisi/lab"
	"github.com/divisi-go/divisi/lab/disk"
)

// faulty gives a host a disk at /data that can have faults, or changes it. Where there is no FUSE the test is skipped, or
// fails with CI=true.
func faulty(t *testing.T, h *lab.Host, size int64, c disk.Change) {
	t.Helper()
	device, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if err != nil && os.Getenv("CI") != "true" {
		t.Skip(err)
	}
	device.Close()
	if err := h.FaultyDisk(t.Context(), "/data", size, c); err != nil {
		t.Fatal(err)
	}
}

// fails runs a program on a host, which has to fail with a message.
func fails(t *testing.T, h *lab.Host, want string, args ...string) {
	t.Helper()
	if _, err := h.Exec(t.Context(), args...); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%v: %v, want %q", args, err, want)
	}
}

// cycle takes the power of a host and gives it back.
func cycle(t *testing.T, h *lab.Host) {
	t.Helper()
	for _, step := range []func(context.Context) error{h.Kill, h.Boot} {
		if err := step(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// TestFiles: a disk that can have faults is a file system as any other.
func TestFiles(t *testing.T) {
	h := lab.New(t, lab.Config{}).Host("host1")
	faulty(t, h, 1<<20, disk.Normal())
	in(t, h, "sh", "-ec", `cd /data
		mkdir -p a/b; echo text > a/b/file; ln a/b/file hard; ln -s a/b/file soft; mv a/b a/c
		test "$(cat hard)" = text; test ! -e soft; ln -sfn a/c/file soft; test "$(cat soft)" = text
		echo more >> hard; test "$(wc -l < a/c/file)" = 2; test "$(stat -c %h hard)" = 2
		chmod 600 hard; test "$(stat -c %a hard)" = 600; touch -d @1000 hard; test "$(stat -c %Y hard)" = 1000
		truncate -s 2 hard; test "$(cat hard)" = te
		for i in $(seq 100); do echo $i > n$i; done; test "$(ls | wc -l)" = 103
		rm -r a n*; test "$(ls)" = "$(printf 'hard\nsoft')"; test "$(cat hard)" = te
		exec 3> open; rm open; echo still >&3; test "$(cat /proc/self/fd/3)" = still
		! mkdir hard; ! rmdir hard; ! mv /data /data/x 2>/dev/null
		cp /bin/true program; ./program`)
	in(t, h, "sh", "-ec", `cd /data; dd if=/dev/urandom of=one bs=1000 count=400; cp one two; cmp one two`)
	fails(t, h, "No space left", "dd", "if=/dev/zero", "of=/data/large", "bs=64k", "count=16")
	in(t, h, "sh", "-ec", "rm /data/large /data/one; df -k /data | grep -q 1024")

	cycle(t, h)
	in(t, h, "sh", "-ec", "test $(wc -c < /data/two) = 400000; test $(cat /data/hard) = te")
}

// TestForgetfulDisk: a power cut takes what was not synced: bytes by their file, names by their folder.
func TestForgetfulDisk(t *testing.T) {
	h := lab.New(t, lab.Config{}).Host("host1")
	faulty(t, h, 0, disk.Forget())
	in(t, h, "sh", "-ec", `cd /data
		echo kept > kept; echo gone > half; : > empty; sync kept empty .
		printf 1 > half; sync half; echo 2 >> half; echo text >> empty
		echo nameless > nameless; sync nameless
		mv kept renamed`)
	cycle(t, h)
	if got := in(t, h, "sh", "-c", "cd /data; ls; cat kept half empty"); got != "empty\nhalf\nkept\nkept\n1" {
		t.Errorf("after a power cut there is %q", got)
	}

	// A disk that is normal again keeps everything.
	in(t, h, "sh", "-c", "echo all > /data/all")
	faulty(t, h, 0, disk.Normal())
	cycle(t, h)
	in(t, h, "grep", "all", "/data/all")
}

// TestFailingDisk: what is to fail does, and the rest does not.
func TestFailingDisk(t *testing.T) {
	h := lab.New(t, lab.Config{}).Host("host1")
	faulty(t, h, 0, disk.Fail(disk.Write, 8192))
	in(t, h, "sh", "-ec", "head -c 8192 /dev/zero > /data/file; sync /data/file; cat /data/file > /dev/null")
	fails(t, h, "I/O error", "sh", "-c", "echo more >> /data/file")
	fails(t, h, "Input/output error", "mkdir", "/data/folder")
	faulty(t, h, 0, disk.Fail(disk.Fsync, 0))
	in(t, h, "sh", "-c", "echo more >> /data/file")
	fails(t, h, "Input/output error", "sync", "/data/file")
	fails(t, h, "Input/output error", "sync", "/data")
	faulty(t, h, 0, disk.Fail(disk.Read, 0))
	in(t, h, "sync", "/data/file")
	fails(t, h, "Input/output error", "cat", "/data/file")
	faulty(t, h, 0, disk.Normal())
	faulty(t, h, 0, disk.Full())
	fails(t, h, "No space left", "sh", "-c", "echo more > /data/other")
	in(t, h, "cat", "/data/file")
}

// TestSlowDisk: each operation takes longer, and a power cut waits for none.
func TestSlowDisk(t *testing.T) {
	h := lab.New(t, lab.Config{}).Host("host1")
	const slow = 30 * time.Millisecond
	faulty(t, h, 0, disk.Slow(slow))
	begin := time.Now()
	in(t, h, "sh", "-c", "echo text > /data/file; sync /data/file")
	if took := time.Since(begin); took < 3*slow {
		t.Errorf("making, writing and syncing a file takes %v, want %v at least", took, 3*slow)
	}
	faulty(t, h, 0, disk.Slow(5*time.Minute))
	in(t, h, "sh", "-c", "echo more >> /data/file & :")
	cycle(t, h)
	faulty(t, h, 0, disk.Slow(0))
	in(t, h, "grep", "text", "/data/file")
}

func TestDiskRefusals(t *testing.T) {
	h := lab.New(t, lab.Config{}).Host("host1")
	faulty(t, h, 1<<20, disk.Normal())
	ctx := t.Context()
	if err := h.Disk(ctx, "/plain", 1<<20); err != nil {
		t.Fatal(err)
	}
	for want, err := range map[string]error{
		"was made without faults":   h.FaultyDisk(ctx, "/plain", 0, disk.Full()),
		"has 1048576 bytes already": h.FaultyDisk(ctx, "/data", 2<<20, disk.Full()),
		"fails to \"often\"":        h.FaultyDisk(ctx, "/data", 0, disk.Fail("often", 0)),
		"has a disk at /data":       h.Disk(ctx, "/data", 1<<20),
		"read-only for a host":      h.FaultyDisk(ctx, "/etc/divisi/data", 1<<20, disk.Full()),
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
