//go:build linux || darwin

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

var errClosed = errors.New("the keeper is closed")

// Keeper holds processes and sockets for one folder. It is safe for concurrent use.
type Keeper struct {
	dir     string
	lock    *os.File
	logSize int64 // of a log file that is rotated

	mu        sync.Mutex // guards what follows; held to signal and to reap
	journal   *os.File
	sockets   map[string]*socket
	processes map[string]*process
	logged    map[string]chan struct{} // by name; closed when all of a process's log is written
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
	lock, err := takeLock(dir)
	if err != nil {
		return nil, err
	}
	journal, err := openJournal(filepath.Join(dir, "journal.ndjson"))
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return &Keeper{
		dir: dir, lock: lock, journal: journal, logSize: maxFile,
		sockets:   map[string]*socket{},
		processes: map[string]*process{},
		logged:    map[string]chan struct{}{},
	}, nil
}

// takeLock locks a folder for this process, and leaves its number there for others to report. The
// lock ends with the process, however that ends.
func takeLock(dir string) (*os.File, error) {
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, errors.Join(fmt.Errorf("cannot lock %s: %w", dir, err), lock.Close())
		}
		holder, _ := os.ReadFile(lock.Name())
		return nil, errors.Join(fmt.Errorf("cannot use %s: %w (process %s)", dir, ErrTaken,
			strings.TrimSpace(string(holder))), lock.Close())
	}
	if err = lock.Truncate(0); err == nil {
		_, err = lock.WriteString(strconv.Itoa(os.Getpid()) + "\n")
	}
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return lock, nil
}

// Close kills every process with its children, closes sockets and logs, and lets the folder go.
// A second call does nothing.
func (k *Keeper) Close() error {
	k.mu.Lock()
	if k.closed {
		k.mu.Unlock()
		return nil
	}
	k.closed = true
	for _, p := range k.processes {
		// One that has just ended is the only reason to fail.
		_ = p.kill(syscall.SIGKILL)
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
