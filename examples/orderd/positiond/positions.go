package positiond

import (
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"unsafe"
)

// Positions are the positions, by instrument, in memory that processes share: positiond writes it, and
// everybody else reads.
type Positions [512]atomic.Int64

// Map returns the positions of the positiond that keeps them in a folder. They change as it is told.
func Map(dir string) (*Positions, error) {
	f, err := os.Open(filepath.Join(dir, memoryName))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return mapped(f, syscall.PROT_READ)
}

// create is [Map] for positiond itself.
func create(dir string) (*Positions, error) {
	f, err := os.OpenFile(filepath.Join(dir, memoryName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if err := f.Truncate(int64(unsafe.Sizeof(Positions{}))); err != nil {
		return nil, err
	}
	return mapped(f, syscall.PROT_READ|syscall.PROT_WRITE)
}

// mapped returns the memory that a file is. It is never given back.
func mapped(f *os.File, access int) (*Positions, error) {
	memory, err := syscall.Mmap(int(f.Fd()), 0, int(unsafe.Sizeof(Positions{})), access, syscall.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("cannot map %s: %w", f.Name(), err)
	}
	return (*Positions)(unsafe.Pointer(&memory[0])), nil
}
