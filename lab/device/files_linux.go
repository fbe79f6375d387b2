package device

import (
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/divisi-go/divisi/lab/disk"
)

// make makes something new.
func (s *session) make(in *fuse.InHeader, name string, mode uint32, target string, out *fuse.EntryOut) fuse.Status {
	return s.do(true, func(d *disk.Disk) error {
		now := time.Now()
		a := disk.Attr{Mode: mode, UID: in.Uid, GID: in.Gid, Accessed: now, Modified: now, Changed: now}
		i, err := d.Make(disk.ID(in.NodeId), name, a, target)
		if err == nil {
			entry(i, out)
		}
		return err
	})
}

// Mknod makes a file, a pipe or a socket.
func (s *session) Mknod(_ <-chan struct{}, in *fuse.MknodIn, name string, out *fuse.EntryOut) fuse.Status {
	if kind := in.Mode & syscall.S_IFMT; kind == syscall.S_IFCHR || kind == syscall.S_IFBLK {
		return fuse.EPERM
	}
	return s.make(&in.InHeader, name, in.Mode, "", out)
}

// Mkdir makes a folder.
func (s *session) Mkdir(_ <-chan struct{}, in *fuse.MkdirIn, name string, out *fuse.EntryOut) fuse.Status {
	return s.make(&in.InHeader, name, syscall.S_IFDIR|in.Mode&0o7777, "", out)
}

// Symlink makes a symbolic link.
func (s *session) Symlink(_ <-chan struct{}, in *fuse.InHeader, target, name string, out *fuse.EntryOut) fuse.Status {
	return s.make(in, name, syscall.S_IFLNK|0o777, target, out)
}

// Create makes a file and opens it.
func (s *session) Create(_ <-chan struct{}, in *fuse.CreateIn, name string, out *fuse.CreateOut) fuse.Status {
	return s.make(&in.InHeader, name, syscall.S_IFREG|in.Mode&0o7777, "", &out.EntryOut)
}

// Link gives a file another name.
func (s *session) Link(_ <-chan struct{}, in *fuse.LinkIn, name string, out *fuse.EntryOut) fuse.Status {
	return s.do(true, func(d *disk.Disk) error {
		i, err := d.Link(disk.ID(in.Oldnodeid), disk.ID(in.NodeId), name, time.Now())
		if err == nil {
			entry(i, out)
		}
		return err
	})
}

// Unlink takes the name of a file away.
func (s *session) Unlink(_ <-chan struct{}, in *fuse.InHeader, name string) fuse.Status {
	return s.do(true, func(d *disk.Disk) error { return d.Remove(disk.ID(in.NodeId), name, false, time.Now()) })
}

// Rmdir removes a folder.
func (s *session) Rmdir(_ <-chan struct{}, in *fuse.InHeader, name string) fuse.Status {
	return s.do(true, func(d *disk.Disk) error { return d.Remove(disk.ID(in.NodeId), name, true, time.Now()) })
}

// keepOther is the flag of a rename that must not replace anything, of <linux/fs.h>.
const keepOther = 1

// Rename gives something another name.
func (s *session) Rename(_ <-chan struct{}, in *fuse.RenameIn, name, next string) fuse.Status {
	if in.Flags&^keepOther != 0 {
		return fuse.EINVAL
	}
	return s.do(true, func(d *disk.Disk) error {
		return d.Rename(disk.ID(in.NodeId), name, disk.ID(in.Newdir), next, in.Flags&keepOther != 0, time.Now())
	})
}

// Readlink returns the target of a symbolic link.
func (s *session) Readlink(_ <-chan struct{}, in *fuse.InHeader) (target []byte, code fuse.Status) {
	code = s.do(true, func(d *disk.Disk) error {
		target = make([]byte, disk.BlockSize)
		n, err := d.Read(disk.ID(in.NodeId), target, 0)
		target = target[:n]
		return err
	})
	return target, code
}

// Read reads a file.
func (s *session) Read(_ <-chan struct{}, in *fuse.ReadIn, to []byte) (fuse.ReadResult, fuse.Status) {
	count := 0
	code := s.do(true, func(d *disk.Disk) (err error) {
		count, err = d.Read(disk.ID(in.NodeId), to[:min(len(to), int(in.Size))], offset(in.Offset))
		return err
	})
	return fuse.ReadResultData(to[:count]), code
}

// Write writes a file, and syncs it if it was opened for that.
func (s *session) Write(_ <-chan struct{}, in *fuse.WriteIn, data []byte) (written uint32, code fuse.Status) {
	code = s.do(true, func(d *disk.Disk) error {
		count, err := d.Write(disk.ID(in.NodeId), data, offset(in.Offset), time.Now())
		written = uint32(count)
		if err == nil && in.Flags&(syscall.O_DSYNC|syscall.O_SYNC) != 0 {
			err = d.Fsync(disk.ID(in.NodeId))
		}
		return err
	})
	return written, code
}

// Fsync makes the bytes of a file safe.
func (s *session) Fsync(_ <-chan struct{}, in *fuse.FsyncIn) fuse.Status {
	return s.do(true, func(d *disk.Disk) error { return d.Fsync(disk.ID(in.NodeId)) })
}

// FsyncDir makes the names of a folder safe.
func (s *session) FsyncDir(cancel <-chan struct{}, in *fuse.FsyncIn) fuse.Status {
	return s.Fsync(cancel, in)
}

// OpenDir reads a folder as it is now, for those who read on while it changes.
func (s *session) OpenDir(_ <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	return s.do(true, func(d *disk.Disk) error {
		list, err := d.List(disk.ID(in.NodeId))
		if err != nil {
			return err
		}
		self := []disk.Entry{{Name: ".", ID: disk.ID(in.NodeId), Mode: syscall.S_IFDIR}, {Name: "..", ID: disk.ID(in.NodeId), Mode: syscall.S_IFDIR}}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.last++
		out.Fh = s.last
		s.folders[out.Fh] = append(self, list...)
		return nil
	})
}

// ReadDir hands over what is in a folder.
func (s *session) ReadDir(_ <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	s.mu.Lock()
	list := s.folders[in.Fh]
	s.mu.Unlock()
	for i := in.Offset; i < uint64(len(list)); i++ {
		e := list[i]
		if !out.AddDirEntry(fuse.DirEntry{Mode: e.Mode, Name: e.Name, Ino: uint64(e.ID), Off: i + 1}) {
			break
		}
	}
	return fuse.OK
}

// ReleaseDir forgets an open folder.
func (s *session) ReleaseDir(in *fuse.ReleaseIn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.folders, in.Fh)
}
