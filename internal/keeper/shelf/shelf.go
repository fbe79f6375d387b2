//go:build unix

// Package shelf keeps open files of a server from one of its processes to the next.
package shelf

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"syscall"

	"github.com/divisi-go/divisi/internal/keeper/fork"
	"github.com/divisi-go/divisi/internal/keeper/store"
	"github.com/divisi-go/divisi/internal/notify"
)

// maxFiles bounds how many files a server may have kept.
const maxFiles = 64

// Shelf has files by name, the oldest first; several may have one name. The zero value is empty. They
// are held as plain descriptors: an os.File would take those that others share out of non-blocking
// mode when asked for its number.
type Shelf struct{ list []item }

type item struct {
	name string
	fd   int
}

// Hear keeps what a server stores, and gives up what it does not want any more. The supervisor has copies
// of what the server that began with a start has here.
func (s *Shelf) Hear(m *notify.Message, kept *store.Store, born uint64) error {
	if m.Remove {
		s.Remove(m.FDName)
		kept.Drop(store.File(born, m.FDName))
	}
	if !m.Store {
		return nil
	}
	fds, err := s.Put(m.FDName, m.Files)
	for _, fd := range fds {
		kept.Keep(store.File(born, m.FDName), fd)
	}
	return err
}

// Recall takes what the supervisor has given back.
func (s *Shelf) Recall(kept *store.Store, born uint64) {
	for _, f := range kept.TakeFiles(born) {
		s.Keep(f.Name, f.FD)
	}
}

// Put keeps copies of files, and returns their descriptors, which stay the shelf's. What is too much is
// not kept.
func (s *Shelf) Put(name string, files []*os.File) (fds []int, err error) {
	for _, f := range files {
		if len(s.list) == maxFiles {
			return fds, fmt.Errorf("more than %d files are not kept: that of %s is closed", maxFiles, name)
		}
		fd, err := fork.Descriptor(f)
		if err == nil {
			fd, err = fork.Dup(fd)
		}
		if err != nil {
			return fds, err
		}
		s.Keep(name, fd)
		fds = append(fds, fd)
	}

	return fds, nil
}

// Remove closes the files of a name.
func (s *Shelf) Remove(name string) {
	s.list = slices.DeleteFunc(s.list, func(i item) bool {
		if i.name == name {
			syscall.Close(i.fd)
		}
		return i.name == name
	})
}

// Copies returns copies of all files, which the caller closes, and their names.
func (s *Shelf) Copies() (fds []int, names []string, err error) {
	for _, i := range s.list {
		fd, err := fork.Dup(i.fd)
		if err != nil {
			for _, fd := range fds {
				syscall.Close(fd)
			}
			return nil, nil, errors.Join(fmt.Errorf("cannot pass the kept file %s on", i.name), err)
		}
		fds, names = append(fds, fd), append(names, i.name)
	}

	return fds, names, nil
}

// All returns the descriptors of all files, which stay the shelf's, and their names.
func (s *Shelf) All() (fds []int, names []string) {
	for _, i := range s.list {
		fds, names = append(fds, i.fd), append(names, i.name)
	}
	return fds, names
}

// Keep keeps a descriptor itself.
func (s *Shelf) Keep(name string, fd int) { s.list = append(s.list, item{name, fd}) }

// Clear closes all files, here and with the supervisor.
func (s *Shelf) Clear(kept *store.Store, born uint64) {
	for _, i := range s.list {
		kept.Drop(store.File(born, i.name))
		syscall.Close(i.fd)
	}
	s.list = nil
}
