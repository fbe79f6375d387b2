// Package device shows a [disk.Disk] to a host, by FUSE.
package device

import (
	"errors"
	"fmt"
	"log"
	"os"
	"sync"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/divisi-go/divisi/lab/disk"
	"github.com/divisi-go/divisi/lab/mount"
)

// Device is a disk that a host can mount. Each boot of the host mounts it as another session, because all that the kernel
// knows of files is gone with the power.
type Device struct {
	mu      sync.Mutex
	disk    *disk.Disk
	session *session // nil without power
}

// New returns a device with an empty disk of a size in bytes. The error says why this system has none.
func New(size int64) (*Device, error) {
	channel, err := openChannel()
	if err != nil {
		return nil, err
	}
	_ = channel.Close()
	return &Device{disk: disk.New(size, time.Now())}, nil
}

// openChannel opens the connection with the kernel by which one session is served. Reading it blocks, as the server wants
// it.
func openChannel() (*os.File, error) {
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("a disk with faults needs /dev/fuse, which cannot be opened here: %w; load the module fuse, or have "+
			"the container show the device (a disk without faults does not need it)", err)
	}
	return os.NewFile(uintptr(fd), "/dev/fuse"), nil
}

// Change changes how well the disk works.
func (d *Device) Change(c disk.Change) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.disk.Change(c)
}

// Status tells how well the disk works, and what it was asked for.
func (d *Device) Status() (disk.Condition, disk.Count) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.disk.Condition, d.disk.Count
}

// Open returns the disk as a mount, which is nowhere yet. The device must have no session.
func (d *Device) Open() (*os.File, error) {
	channel, err := openChannel()
	if err != nil {
		return nil, err
	}
	defer channel.Close()
	tree, err := mount.Fuse(channel)
	if err != nil {
		return nil, err
	}

	s := newSession(d)
	if err := s.serve(channel); err != nil {
		_ = tree.Close()
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.session = s
	return tree, nil
}

// PowerCut ends the session at once: what the host has written until now, and was answered, the disk has; what waits
// fails.
func (d *Device) PowerCut() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.session == nil {
		return
	}
	close(d.session.over)
	d.session = nil
	d.disk.PowerCut()
}

// serve answers the kernel on its own goroutines, until the last mount of the session is gone, or this process.
func (s *session) serve(channel *os.File) error {
	raw, err := channel.SyscallConn()
	if err != nil {
		return err
	}
	own := -1 // which the server closes
	var failed error
	err = raw.Control(func(fd uintptr) { own, failed = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0) })
	if err := errors.Join(err, failed); err != nil {
		return err
	}
	server, err := fuse.NewServer(s, fmt.Sprintf("/dev/fd/%d", own), &fuse.MountOptions{
		DisableReadDirPlus: true, DisableXAttrs: true, Logger: log.New(silence{}, "", 0),
	})
	if err != nil {
		_ = unix.Close(own)
		return fmt.Errorf("cannot serve a disk: %w", err)
	}
	go server.Serve()
	return nil
}

// silence takes what the server says about requests of hosts that have lost their power.
type silence struct{}

func (silence) Write(p []byte) (int, error) { return len(p), nil }
