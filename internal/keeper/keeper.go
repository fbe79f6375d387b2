//go:build linux || darwin

package keeper

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
	"syscall"
)

var errClosed = errors.New("the keeper is closed")

// Keeper holds processes and sockets for one folder. It is safe for concurrent use.
type Keeper struct {
	logs    string // folder
	logSize int64  // of a log file that is rotated

	mu        sync.Mutex // guards what follows; held to signal and to reap
	journal   *os.File
	sockets   map[string]*socket
	processes map[string]*process
	logged    map[string]chan struct{} // by name; closed when all of a process's log is written
	closed    bool
	wait      sync.WaitGroup // for what accompanies processes
}

// Open opens a keeper with its journal in one folder and logs in another. Both are made if they do
// not exist, and must be nobody else's meanwhile.
func Open(dir, logs string) (*Keeper, error) {
	if err := errors.Join(os.MkdirAll(dir, 0o700), os.MkdirAll(logs, 0o700)); err != nil {
		return nil, err
	}
	journal, err := openJournal(filepath.Join(dir, "journal.ndjson"))
	if err != nil {
		return nil, err
	}
	return &Keeper{
		logs: logs, journal: journal, logSize: maxFile,
		sockets:   map[string]*socket{},
		processes: map[string]*process{},
		logged:    map[string]chan struct{}{},
	}, nil
}

// Close kills every process with its children, and closes sockets and logs.
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
	return k.journal.Close()
}

// LogDir returns the folder of the logs: NAME.log of a process, and NAME.log.1 and NAME.log.2 of
// what was before.
func (k *Keeper) LogDir() string { return k.logs }
