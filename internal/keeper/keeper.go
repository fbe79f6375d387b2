//go:build unix

// Package keeper holds what must outlive decisions: processes, the listening sockets they share,
// their logs, and the records of how they ended. It knows nothing of what they are for.
//
// A keeper works in the process that opens it; its calls take and return plain data, so that it can
// be a process of its own.
package keeper

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

// ErrTaken is the error of opening a folder that another keeper holds.
var ErrTaken = errors.New("another keeper holds it")

// Keeper holds processes and sockets for one folder.
type Keeper struct {
	dir     string
	lock    *os.File
	journal *os.File

	mu        sync.Mutex // guards what follows; held to signal and to reap
	sockets   map[string]*socket
	processes map[string]*process
	closed    bool
	wait      sync.WaitGroup // for what accompanies processes
}

// Open opens the keeper of a folder, which is made if it does not exist, and belongs to this user
// alone. A folder has one keeper at a time: the error of another one is ErrTaken.
func Open(dir string) (*Keeper, error) {
	if err := privateDir(dir); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Join(dir, "logs"), 0o700); err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		holder, _ := os.ReadFile(lock.Name())
		lock.Close()
		return nil, fmt.Errorf("cannot use %s: %w (process %s)", dir, ErrTaken,
			strings.TrimSpace(string(holder)))
	}
	if err := errors.Join(lock.Truncate(0), writeAt(lock, strconv.Itoa(os.Getpid()))); err != nil {
		lock.Close()
		return nil, err
	}
	journal, err := os.OpenFile(filepath.Join(dir, "journal.ndjson"),
		os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		lock.Close()
		return nil, err
	}
	return &Keeper{
		dir: dir, lock: lock, journal: journal,
		sockets: map[string]*socket{}, processes: map[string]*process{},
	}, nil
}

func writeAt(f *os.File, text string) error {
	_, err := f.WriteAt([]byte(text), 0)
	return err
}

// Close kills every process with its children, closes sockets and logs, and lets the folder go.
func (k *Keeper) Close() error {
	k.mu.Lock()
	k.closed = true
	for _, p := range k.processes {
		p.kill(syscall.SIGKILL)
	}
	for _, s := range k.sockets {
		s.close()
	}
	clear(k.sockets)
	k.mu.Unlock()
	k.wait.Wait()
	return errors.Join(k.journal.Close(), k.lock.Close())
}

// LogDir returns the folder of the logs: NAME.log of a process, and NAME.log.1 and NAME.log.2 of
// what was before.
func (k *Keeper) LogDir() string { return filepath.Join(k.dir, "logs") }
