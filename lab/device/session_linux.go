package device

import (
	"errors"
	"math"
	"sync"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/divisi-go/divisi/lab/disk"
)

// session is a disk from one boot of its host to the next power cut. Afterwards everything that is asked of it fails, and
// nothing reaches the disk.
type session struct {
	fuse.RawFileSystem // for what no disk of a lab has
	device             *Device
	over               chan struct{} // closed by the power cut

	mu      sync.Mutex
	folders map[uint64][]disk.Entry // that are open
	last    uint64
}

var _ fuse.RawFileSystem = (*session)(nil)

func newSession(d *Device) *session {
	return &session{RawFileSystem: fuse.NewDefaultRawFileSystem(), device: d, over: make(chan struct{}), folders: map[uint64][]disk.Entry{}}
}

// String names the file system in the host's table of mounts.
func (s *session) String() string { return "divisi-lab" }

// lasts is how long the kernel may believe what it was told: nobody else changes the disk.
const lasts = time.Hour

// do has the disk do something. What reaches a slow disk, and not the memory of the host, waits before.
func (s *session) do(reaches bool, f func(*disk.Disk) error) fuse.Status {
	if reaches {
		s.wait()
	}
	s.device.mu.Lock()
	defer s.device.mu.Unlock()
	if s.device.session != s {
		return fuse.EIO
	}
	return status(f(s.device.disk))
}

// wait waits for as long as the disk is slow, until the power is cut.
func (s *session) wait() {
	condition, _ := s.device.Status()
	if condition.Slow == 0 {
		return
	}
	timer := time.NewTimer(condition.Slow)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-s.over:
	}
}

// status is an error as the kernel knows it.
func status(err error) fuse.Status {
	var e disk.Error
	if !errors.As(err, &e) {
		return fuse.ToStatus(err)
	}
	switch e {
	case disk.ErrFull:
		return fuse.Status(syscall.ENOSPC)
	case disk.ErrNone:
		return fuse.ENOENT
	case disk.ErrExists:
		return fuse.Status(syscall.EEXIST)
	case disk.ErrNotFolder:
		return fuse.ENOTDIR
	case disk.ErrFolder:
		return fuse.EISDIR
	case disk.ErrNotEmpty:
		return fuse.Status(syscall.ENOTEMPTY)
	case disk.ErrInvalid:
		return fuse.EINVAL
	case disk.ErrTooLarge:
		return fuse.Status(syscall.EFBIG)
	}
	return fuse.EIO
}

// entry tells the kernel what a name means.
func entry(i disk.Info, out *fuse.EntryOut) {
	out.NodeId, out.Generation = uint64(i.ID), 1
	out.SetEntryTimeout(lasts)
	out.SetAttrTimeout(lasts)
	attr(i, &out.Attr)
}

// attr tells the kernel what there is to say about a file.
func attr(i disk.Info, out *fuse.Attr) {
	out.Ino, out.Size, out.Blocks = uint64(i.ID), uint64(i.Size), uint64(i.Blocks*disk.BlockSize/512)
	out.Mode, out.Nlink, out.Blksize = i.Mode, uint32(i.Links), disk.BlockSize
	out.Uid, out.Gid = i.UID, i.GID
	out.SetTimes(&i.Accessed, &i.Modified, &i.Changed)
}

// offset is a number of the kernel as the disk takes it.
func offset(n uint64) int64 { return int64(min(n, math.MaxInt64)) }

// Lookup, Forget and GetAttr answer from what a host has in memory of any disk.
func (s *session) Lookup(_ <-chan struct{}, in *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	return s.do(false, func(d *disk.Disk) error {
		i, err := d.Lookup(disk.ID(in.NodeId), name)
		if err == nil {
			entry(i, out)
		}
		return err
	})
}

// Forget says that the kernel holds a file less often.
func (s *session) Forget(node, times uint64) {
	s.do(false, func(d *disk.Disk) error {
		d.Drop(disk.ID(node), times)
		return nil
	})
}

// GetAttr tells about a file.
func (s *session) GetAttr(_ <-chan struct{}, in *fuse.GetAttrIn, out *fuse.AttrOut) fuse.Status {
	return s.do(false, func(d *disk.Disk) error {
		i, err := d.Stat(disk.ID(in.NodeId))
		attr(i, &out.Attr)
		out.SetTimeout(lasts)
		return err
	})
}

// SetAttr changes what is known about a file, or its size.
func (s *session) SetAttr(_ <-chan struct{}, in *fuse.SetAttrIn, out *fuse.AttrOut) fuse.Status {
	return s.do(true, func(d *disk.Disk) error {
		size := int64(-1)
		if n, given := in.GetSize(); given {
			size = offset(n)
		}
		i, err := d.SetAttr(disk.ID(in.NodeId), size, func(a *disk.Attr) {
			now := time.Now()
			if mode, given := in.GetMode(); given {
				a.Mode = mode
			}
			if uid, given := in.GetUID(); given {
				a.UID = uid
			}
			if gid, given := in.GetGID(); given {
				a.GID = gid
			}
			if at, given := in.GetATime(); given {
				a.Accessed = at
			}
			if at, given := in.GetMTime(); given {
				a.Modified = at
			} else if size >= 0 {
				a.Modified = now
			}
			a.Changed = now
		})
		attr(i, &out.Attr)
		out.SetTimeout(lasts)
		return err
	})
}

// StatFs tells how much space there is.
func (s *session) StatFs(_ <-chan struct{}, _ *fuse.InHeader, out *fuse.StatfsOut) fuse.Status {
	return s.do(false, func(d *disk.Disk) error {
		blocks, free := d.Space()
		*out = fuse.StatfsOut{Blocks: uint64(blocks), Bfree: uint64(free), Bavail: uint64(free), Bsize: disk.BlockSize,
			Frsize: disk.BlockSize, NameLen: disk.MaxName}
		return nil
	})
}
