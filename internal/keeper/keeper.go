//go:build linux || darwin

package keeper

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
)

var errClosed = errors.New("the keeper is closed")

// Keeper holds processes and sockets for one folder. It is safe for concurrent use.
//
// Nothing that may wait happens under mu: a slow disk or resolver delays neither a signal nor the
// record of an end.
type Keeper struct {
	logs    string // folder
	logSize int64  // of a log file that is rotated
	journal *journal

	starting  sync.RWMutex // read to start a process, and to open a socket; written to close
	listening sync.Mutex   // held to open a socket, one at a time

	mu        sync.Mutex // guards what follows; held to signal and to reap
	sockets   map[string]*socket
	processes map[*process]bool
	files     map[string]*logFile      // by path, those in use
	logged    map[string]chan struct{} // by name, of processes that ended; closed when their logs are written
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

	closeOnExec()
	return &Keeper{
		logs: logs, journal: journal, logSize: maxFile,
		sockets:   map[string]*socket{},
		processes: map[*process]bool{},
		files:     map[string]*logFile{},
		logged:    map[string]chan struct{}{},
	}, nil
}

// Close kills every process with its children, and closes sockets and logs.
// A second call does nothing.
func (k *Keeper) Close() error {
	k.mu.Lock()
	closed := k.closed
	k.closed = true
	k.mu.Unlock()
	if closed {
		return nil
	}

	k.starting.Lock() // what is being started is there afterwards
	k.mu.Lock()
	for p := range k.processes {
		// One that has just ended is the only reason to fail.
		_ = p.kill(syscall.SIGKILL)
	}
	for _, s := range k.sockets {
		s.close()
	}
	clear(k.sockets)
	k.mu.Unlock()
	k.starting.Unlock()

	k.wait.Wait()
	return k.journal.close()
}

// closeOnExec keeps the descriptors that whoever started this program has left open from the
// processes that it starts: they get those that are meant for them, and no others.
func closeOnExec() {
	open, err := os.ReadDir("/dev/fd")
	if err != nil {
		return // they are inherited, as everywhere else
	}
	for _, entry := range open {
		if fd, err := strconv.Atoi(entry.Name()); err == nil && fd > 2 {
			syscall.CloseOnExec(fd)
		}
	}
}

// LogDir returns the folder of the logs: NAME.log of a process, and NAME.log.1 and NAME.log.2 of
// what was before.
func (k *Keeper) LogDir() string { return k.logs }
