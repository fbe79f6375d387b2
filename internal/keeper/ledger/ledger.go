// Package ledger is what a keeper has to remember beyond its own end: which starts and ends of processes there were, by
// numbers that never come again, and the journal that has them, and everything else that changes.
package ledger

import (
	"cmp"
	"crypto/rand"
	"strconv"
	"strings"
	"time"

	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/keeper/journal"
	"github.com/divisi-go/divisi/internal/keeper/recent"
	"github.com/divisi-go/divisi/internal/keeper/record"
	"github.com/divisi-go/divisi/internal/proc"
)

// How long to wait for the journal.
const (
	noteTime    = time.Second      // before an answer that is true whatever the disk says
	promiseTime = 10 * time.Second // before one that is a promise
)

// Ledger is what a keeper has to remember. What it waits for is safe for concurrent use; the keeper guards the rest.
type Ledger struct {
	Boot  string // which start of the machine this is; "" if nobody knows
	Run   uint64 // the last number of a start
	Exits recent.Exits

	mark    string // begins the value of DIVISI_RUN in every process of the state folder
	state   uint64 // the number of the last whole state
	spare   string // where the journal goes on while its disk fails; "" for nowhere
	journal *journal.Journal
}

// New returns a ledger that goes on with what an earlier keeper has known. It has no journal yet; a spare file, if its path
// is not "", is for that while the disk fails.
func New(before *record.Past, spare string) *Ledger {
	l := &Ledger{
		Boot: proc.BootID(), Run: before.Run, state: before.State, mark: cmp.Or(before.Mark, rand.Text()), spare: spare,
	}
	l.Exits.Number = before.Exit
	for _, r := range before.Exits {
		l.Exits.Recall(r)
	}
	return l
}

// Open begins the journal in a folder, with the whole state.
func (l *Ledger) Open(dir string, state journal.State) (err error) {
	l.journal, err = journal.Open(record.Path(dir), l.spare, state)
	return err
}

// Close writes what was noted.
func (l *Ledger) Close() error { return l.journal.Close() }

// Note adds a change to the journal, unless that is yet to be opened with the whole state. It does not wait.
func (l *Ledger) Note(e record.Entry) {
	if l.journal != nil {
		l.journal.Add(e)
	}
}

// Begun is the first entry of the whole state. The ends are to follow.
func (l *Ledger) Begun() record.Entry {
	l.state++
	return record.Entry{
		Event: record.Begun, Format: record.Format, Boot: l.Boot, Mark: l.mark, Run: l.Run, Number: l.Exits.Number,
		State: l.state, Spare: l.spare, Time: time.Now(),
	}
}

// End notes the end of a process of a server.
func (l *Ledger) End(born uint64, r keeper.ExitRecord) {
	last := record.End(l.Exits.Add(r))
	last.Born = born
	l.Note(last)
}

// Mark returns what the processes of all starts have in common.
func (l *Ledger) Mark() string { return l.mark }

// MarkOf returns what tells the processes of one start from all others.
func (l *Ledger) MarkOf(run uint64) string { return l.mark + "-" + strconv.FormatUint(run, 10) }

// RunOf returns the start that a mark tells of, 0 if it is none of these.
func (l *Ledger) RunOf(mark string) uint64 {
	run, _ := strconv.ParseUint(strings.TrimPrefix(mark, l.mark+"-"), 10, 64)
	return run
}

// Health returns how well the disk takes the journal.
func (l *Ledger) Health() journal.Health { return l.journal.Health() }

// Settle returns when the journal has what was noted, so that what a client is told is true after the end of the keeper, or
// of the machine. A slow disk delays that by a second, and prevents nothing: what is missing is written later. Where that is
// known already, nobody waits, but for the spare file if there is one.
func (l *Ledger) Settle(machine bool) {
	switch h := l.Health(); {
	case h.Trouble == nil:
		_ = l.write(machine, noteTime) // the journal's health says it
	case h.Spared:
		_ = l.write(false, noteTime)
	}
}

// Promise returns when what was noted survives the end of the keeper, or of the machine, or says why it may not.
func (l *Ledger) Promise(machine bool) error { return l.write(machine, promiseTime) }

// Able says why nothing can be promised now. Unless that is known, it does not wait.
func (l *Ledger) Able(machine bool) error {
	if l.Health().Trouble == nil {
		return nil
	}
	return l.Promise(machine)
}

func (l *Ledger) write(machine bool, most time.Duration) error {
	if machine {
		return l.journal.Sync(most)
	}
	return l.journal.Flush(most)
}
