//go:build unix

// Package hold is the keeper itself: it holds servers, sockets and slots in the process that opens it.
package hold

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/divisi-go/divisi/internal/keeper/claim"
	"github.com/divisi-go/divisi/internal/keeper/ear"
	"github.com/divisi-go/divisi/internal/keeper/fork"
	"github.com/divisi-go/divisi/internal/keeper/journal"
	"github.com/divisi-go/divisi/internal/keeper/ledger"
	"github.com/divisi-go/divisi/internal/keeper/output"
	"github.com/divisi-go/divisi/internal/keeper/recent"
	"github.com/divisi-go/divisi/internal/keeper/record"
	"github.com/divisi-go/divisi/internal/keeper/register"
	"github.com/divisi-go/divisi/internal/keeper/stock"
	"github.com/divisi-go/divisi/internal/keeper/store"
	"github.com/divisi-go/divisi/internal/lifecycle"
)

// Keeper holds servers, sockets and slots for one state folder. Clients use it by a [Session]. It is
// safe for concurrent use.
//
// Invariants:
//   - A process is signalled and reaped under mu only, so that no signal reaches a number that may be
//     another's.
//   - What changes is noted in the ledger under mu, in the order in which it happens.
//   - Nothing that may wait happens under mu: a slow disk or resolver delays neither a signal nor the
//     record of an end.
type Keeper struct {
	logs    string   // folder
	ear     *ear.Ear // for what servers say of themselves; nil without one
	output  output.Logs
	starter fork.Starter
	store   *store.Store // of the supervisor; nil without one

	// whole is read for what is done as a whole or not at all: a process is started, a socket opened, the
	// end of a process recorded and its log written. It is written to close, and to hand over.
	whole     sync.RWMutex
	listening sync.Mutex // held to open a socket, one at a time

	mu        sync.Mutex // guards what follows
	ledger    *ledger.Ledger
	servers   register.Register[*server]
	processes map[uint64]*process // by the number of the start, until their logs are written
	stock     *stock.Stock
	claims    claim.Table
	events    recent.Events
	forgo     *time.Timer // until claims of an earlier keeper are not renewed any more
	closed    bool
	wait      sync.WaitGroup // for what accompanies processes
}

// Place is where a keeper has its files, which must be nobody else's meanwhile. Folders are made if they do not
// exist, but for that of the spare file.
type Place struct {
	State   string // folder of the journal
	Logs    string // folder
	Sockets string // folder of the socket at which servers with Spec.Notify say how they are; "", and nobody hears them
	Spare   string // file that has the journal while the disk of its folder fails, best in memory; "" for none
}

// Open opens a keeper in this process.
func Open(dir, logs, sockets string) (*Keeper, error) {
	return OpenWith(nil, Place{State: dir, Logs: logs, Sockets: sockets})
}

// OpenWith is [Open] for a keeper with a supervisor, which has copies of sockets, and of what servers have
// stored.
func OpenWith(kept *store.Store, at Place) (*Keeper, error) {
	before, err := record.Load(at.State)
	if err != nil {
		return nil, err
	}
	return open(kept, at, before, nil)
}

// open opens a keeper that goes on with what was, and with what was handed over if it was.
func open(kept *store.Store, at Place, before *record.Past, handed *record.Handover) (*Keeper, error) {
	if err := errors.Join(os.MkdirAll(at.State, 0o700), os.MkdirAll(at.Logs, 0o700)); err != nil {
		return nil, err
	}

	k := &Keeper{
		logs: at.Logs, store: kept, ledger: ledger.New(before, at.Spare),
		servers:   register.New[*server](),
		processes: map[uint64]*process{},
	}
	k.stock = stock.New(k.ledger.Note, kept)
	for _, c := range before.Claims {
		k.claims.Recall(c)
	}
	fork.CloseOnExec()
	var err error
	if handed != nil {
		err = k.takeOver(before, handed)
	} else {
		k.adopt(before)
	}
	if err != nil {
		return nil, err
	}

	if err := k.ledger.Open(at.State, k.state); err != nil {
		return nil, err
	}
	if at.Sockets != "" && k.ear == nil { // none was handed over
		if k.ear, err = ear.Open(at.Sockets, k.ledger.Mark()); err != nil {
			return nil, errors.Join(err, k.ledger.Close())
		}
	}
	if k.ear != nil {
		k.ear.Hear(k.told)
	}
	k.resume()

	return k, nil
}

// Health returns how well the disk takes the keeper's journal.
func (k *Keeper) Health() journal.Health { return k.ledger.Health() }

// Close kills every process with its children, and closes sockets and logs. A second call does
// nothing.
func (k *Keeper) Close() error {
	k.mu.Lock()
	closed := k.closed
	k.closed = true
	k.claims.Close()
	k.mu.Unlock()
	if closed {
		return nil
	}

	k.forgo.Stop()
	k.whole.Lock() // what is being started is there afterwards
	err := k.ear.Close()
	k.mu.Lock()
	for s := range k.servers.All() {
		s.step(lifecycle.Kill)
	}
	k.stock.Close()
	k.mu.Unlock()
	k.whole.Unlock()

	k.wait.Wait()
	k.starter.Close()
	k.store.Settle()
	return errors.Join(err, k.ledger.Close())
}

// Idle reports whether the keeper holds nothing: no server, no socket and no slot. It does not before its journal says
// so, for else the next one would start what was stopped; unless its folder is gone, with all that the journal says.
func (k *Keeper) Idle() bool {
	h := k.Health()
	if h.Trouble != nil && !h.Spared && !errors.Is(h.Trouble, fs.ErrNotExist) {
		return false
	}

	k.mu.Lock()
	defer k.mu.Unlock()
	return k.servers.Empty() && len(k.processes) == 0 && k.stock.Empty()
}

// Count returns how many servers and sockets the keeper holds. It waits for no disk.
func (k *Keeper) Count() (servers, sockets int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.servers.Within("/")), len(k.stock.Sockets("/"))
}

// LogDir returns the folder of the logs of a domain: NAME.log of a server, and NAME.log.1 and
// NAME.log.2 of what was before.
func (k *Keeper) LogDir(domain string) string {
	return filepath.Join(k.logs, filepath.FromSlash(domain))
}
