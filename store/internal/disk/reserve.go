package disk

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"go.etcd.io/etcd/client/pkg/v3/fileutil"
)

// plenty is how many times the size of a reserve has to be free before it is taken: less would be free too little
// when it is.
const plenty = 3

// Reserve is a file that keeps room on a disk, for what makes room when there is no other: deleting and compacting
// write to the log and to the database before they give anything back.
type Reserve struct {
	path  string
	size  int64
	given bool // it was given back, and not taken again
}

func newReserve(dir string, size int64) *Reserve {
	return &Reserve{path: filepath.Join(dir, "reserve"), size: size}
}

// Mind looks at the disk. It gives the reserve back where that is needed (Full), and takes it where there is plenty.
func (r *Reserve) Mind() (full bool, err error) {
	full, err = r.Full()
	if full || err != nil || r.size <= 0 || fileutil.Exist(r.path) {
		return full, err
	}
	room, err := r.room()
	if err == nil && room >= plenty*r.size {
		err = r.take()
	}
	return false, err
}

// Full says whether less of the disk is free than the reserve has. Then that is given back, and the disk is full until there
// is plenty.
func (r *Reserve) Full() (bool, error) {
	if r.size <= 0 {
		return false, nil
	}
	room, err := r.room()
	if err != nil || room >= r.size {
		return err == nil && r.given && room < plenty*r.size, err
	}
	r.given = true
	err = os.Remove(r.path)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return true, err
}

// room returns how much of the disk is free.
func (r *Reserve) room() (int64, error) {
	var disk syscall.Statfs_t
	err := syscall.Statfs(filepath.Dir(r.path), &disk)
	if err != nil {
		return 0, fmt.Errorf("cannot see how much of the disk of %s is free: %w", filepath.Dir(r.path), err)
	}
	return int64(disk.Bavail) * int64(disk.Bsize), nil
}

func (r *Reserve) take() error {
	f, err := os.OpenFile(r.path, os.O_RDWR|os.O_CREATE, fileutil.PrivateFileMode)
	if err == nil {
		err = errors.Join(fileutil.Preallocate(f, r.size, true), f.Close())
	}
	if err != nil {
		_ = os.Remove(r.path)
		return fmt.Errorf("cannot keep %d bytes of the disk in reserve: %w", r.size, err)
	}
	r.given = false
	return nil
}
