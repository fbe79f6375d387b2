// Package journal keeps a state in a file of JSON lines: what has changed is added, and the whole
// state replaces the file when that has become long, or when changes could not be written. Who has
// something to add never waits for the disk. While the disk takes nothing, a file elsewhere, the spare one,
// has the state and what changes: best in memory, where it survives the process and not the machine.
package journal

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/divisi-go/divisi/internal/whole"
)

// Bounds of a journal.
const (
	maxFile  = 64 << 20 // a longer one is not read
	maxGrow  = 1 << 20  // beyond twice the state, before the state replaces it
	maxQueue = 1 << 20  // bytes of changes that are not written
)

const (
	lazyTime  = 10 * time.Millisecond // until a change is written that nobody waits for
	mendEvery = time.Second           // how often the state is written while the disk takes nothing
)

// Errors of waiting for a journal.
var (
	ErrClosed = errors.New("the journal is closed")
	ErrSlow   = errors.New("the disk is slow")
)

// Read returns the lines of a journal, none if there is no file. A last line without an end, as a
// full disk or the end of a process leaves it, is none.
func Read(path string) ([][]byte, error) {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()

	data, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxFile {
		return nil, fmt.Errorf("%s has more than %d MiB: move it away", path, maxFile>>20)
	}

	var lines [][]byte
	for line := range bytes.Lines(data) {
		if line[len(line)-1] == '\n' {
			lines = append(lines, line)
		}
	}

	return lines, nil
}

// State returns the whole state, as values that become lines. It calls forget at a moment at which
// the state contains everything that was added, and nothing can be added.
type State func(forget func()) []any

// file is what a journal writes to.
type file interface {
	io.WriteCloser
	Sync() error
}

// Journal is a journal that is being written.
//
// Invariants:
//   - What is in the file is the state at some time, followed by the changes since, in order.
//   - After a change that could not be written, nothing is added before the state has replaced the
//     file.
//   - After a sync that has failed nobody knows what is on the disk, and the system takes it for written: no
//     other sync of that file tells. What is added is still there for the next process, but it survives the
//     end of the machine only once the state has replaced the file. So it is while the spare file is written.
//   - There is a spare file only while what is in it may not be in the file.
//   - Nobody waits for the disk longer than he wants to, but for the journal's own goroutine.
type Journal struct {
	path   string
	spare  string // "" for none
	state  State
	create func(path string) (file, error)
	lost   atomic.Int64 // changes that are not in the file

	mu      sync.Mutex // guards what follows
	queue   []byte     // changes that are to be written
	queued  int64      // how many they are
	doubted bool       // a sync of the file has failed, or the spare one is written
	spared  bool       // the spare one is
	failed  int64      // attempts
	last    error      // why, of the last one of them
	trouble error      // why what was added is not where it should be

	turn   chan struct{} // has something while somebody has what follows
	file   file
	size   int64
	most   int64 // size at which the state replaces the file
	broken bool  // a change could not be written

	more chan struct{} // has something after changes
	asks chan ask
	quit chan struct{}
	done chan struct{} // closed when everything is written
}

// Health is how well the disk takes a journal.
type Health struct {
	Trouble error // why what was added is not in the file, or may not be on the disk, as far as that is known
	Failed  int64 // attempts to write
	Last    error // why, of the last one of them
	Lost    int64 // changes that are not in the file; they get there with the next state that can be written
	Spared  bool  // the spare file is written meanwhile
}

// ask is the wish to have everything written that was added.
type ask struct {
	sync    bool // it is to survive the end of the machine
	written chan<- error
}

// Open writes the state to the file at path, in place of what is there, and begins to add to it. If there is none, somebody
// has just made the folders that it is in: their names are brought to the disk as well, else a power cut takes the journal.
// A file that is there and cannot be replaced is no error: it still has what was, and [Journal.Health] says so.
// The folder of the spare file, whose path is "" for none, is somebody else's matter.
func Open(path, spare string, state State) (*Journal, error) { return open(path, spare, state, create) }

func open(path, spare string, state State, create func(path string) (file, error)) (*Journal, error) {
	j := &Journal{
		path: path, spare: spare, state: state, create: create, broken: true, turn: make(chan struct{}, 1), more: make(chan struct{}, 1),
		asks: make(chan ask), quit: make(chan struct{}), done: make(chan struct{}),
	}
	_, before := os.Lstat(path)
	err := j.replace()
	if errors.Is(before, fs.ErrNotExist) {
		for dir := filepath.Dir(path); err == nil && dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
			err = whole.SyncFolder(filepath.Dir(dir))
		}
		if err != nil {
			return nil, errors.Join(err, j.close())
		}
	}

	go j.serve()
	return j, nil
}

// Add adds a change. It does not wait.
func (j *Journal) Add(change any) {
	line, err := encode(change)

	j.mu.Lock()
	defer j.mu.Unlock()
	if err != nil || len(j.queue)+len(line) > maxQueue {
		j.lost.Add(1)
		return
	}
	j.queue = append(j.queue, line...)
	j.queued++
	j.remind()
}

// remind has the journal's goroutine write in a while.
func (j *Journal) remind() {
	select {
	case j.more <- struct{}{}:
	default:
	}
}

// Health returns how well the disk takes the journal. It does not wait.
func (j *Journal) Health() Health {
	j.mu.Lock()
	defer j.mu.Unlock()
	return Health{Trouble: j.trouble, Failed: j.failed, Last: j.last, Lost: j.lost.Load(), Spared: j.spared}
}

// Flush writes everything that was added to the file, where it survives the end of this process: the
// system has it in memory. If that takes longer than it may, the error is [ErrSlow].
func (j *Journal) Flush(most time.Duration) error {
	late := time.NewTimer(most)
	defer late.Stop()
	select {
	case j.turn <- struct{}{}:
	case <-late.C:
		return j.slow()
	}

	// Sooner than by the journal's goroutine, which may wait for the disk.
	written := make(chan bool, 1)
	go func() {
		written <- j.append()
		<-j.turn
	}()
	select {
	case isWhole := <-written:
		if isWhole {
			return nil
		}
	case <-late.C:
		return j.slow()
	}

	return j.wait(late.C, false)
}

// Sync brings everything that was added to the disk, where it survives the end of the machine. If
// that takes longer than it may, the error is [ErrSlow].
func (j *Journal) Sync(most time.Duration) error {
	late := time.NewTimer(most)
	defer late.Stop()
	return j.wait(late.C, true)
}

// wait has the journal's goroutine write.
func (j *Journal) wait(late <-chan time.Time, sync bool) error {
	written := make(chan error, 1)
	select {
	case j.asks <- ask{sync, written}:
	case <-j.done:
		return ErrClosed
	case <-late:
		return j.slow()
	}

	select {
	case err := <-written:
		return err
	case <-late:
		return j.slow()
	}
}

// slow is the error of somebody who does not wait any longer.
func (j *Journal) slow() error {
	err := fmt.Errorf("the journal %s is not written yet: %w", j.path, ErrSlow)

	j.mu.Lock()
	defer j.mu.Unlock()
	if j.trouble == nil {
		j.trouble = err
	}
	return err
}

// Close writes what was added before. Nothing is added any more.
func (j *Journal) Close() error {
	close(j.quit)
	<-j.done

	return j.close()
}

func (j *Journal) close() error {
	if j.file == nil {
		return nil
	}
	return j.file.Close()
}

func (j *Journal) serve() {
	defer close(j.done)
	mend := time.NewTicker(mendEvery)
	defer mend.Stop()

	var lazy <-chan time.Time
	for {
		select {
		case a := <-j.asks:
			j.answer(a)
		case <-j.more:
			if lazy == nil {
				lazy = time.After(lazyTime)
			}
		case <-lazy:
			lazy = nil
			if j.lost.Load() == 0 { // else it is not tried so often
				_ = j.flush(false) // [Journal.Health] says it
			}
		case <-mend.C:
			if h := j.Health(); h.Trouble != nil || h.Lost > 0 {
				_ = j.flush(true) // the next one may succeed
			}
		case <-j.quit:
			_ = j.flush(j.Health().Trouble != nil) // there is nobody left to tell
			return
		}
	}
}

// answer does what is asked, for all who ask by now: who comes while the disk is busy is served with the others.
func (j *Journal) answer(first ask) {
	all := []ask{first}
	isSync := first.sync
	for more := true; more; {
		select {
		case a := <-j.asks:
			all = append(all, a)
			isSync = isSync || a.sync
		default:
			more = false
		}
	}

	err := j.flush(isSync)
	for _, a := range all {
		a.written <- err
	}
}

// flush brings everything to the file, and to the disk if that is wanted.
func (j *Journal) flush(sync bool) error {
	isFresh, err := j.write(sync)
	if isFresh || err != nil || !sync {
		return err
	}

	err = j.file.Sync() // others add to it meanwhile
	if err == nil {
		j.succeeds()
		return nil
	}
	j.mu.Lock()
	j.doubted = true
	j.mu.Unlock()
	_ = j.fails(err)
	_, err = j.write(true)
	return err
}

// write brings everything to the file, and reports whether that is a fresh one, which is on the disk.
func (j *Journal) write(sync bool) (isFresh bool, err error) {
	j.turn <- struct{}{}
	defer func() { <-j.turn }()
	isWhole := j.append()
	j.mu.Lock()
	isDoubted := j.doubted
	j.mu.Unlock()

	switch {
	case sync && (!isWhole || isDoubted):
		return true, j.replace()
	case !isWhole:
		if err = j.replace(); !j.misses() { // the spare file has it, if not the file
			err = nil
		}
		return true, err
	case j.size > j.most:
		if err := j.replace(); err == nil {
			return true, nil
		}
		j.most = j.size + maxGrow // it goes on with the long one
	}
	return false, nil
}

// append writes the queue behind what is in the file. If it returns false, the state is to replace
// the file.
func (j *Journal) append() bool { return j.add(j.take()) }

func (j *Journal) add(lines []byte, n int64) bool {
	switch {
	case j.misses():
		j.lost.Add(n)
		return false
	case n == 0:
		return true
	}

	written, err := j.file.Write(lines)
	j.size += int64(written)
	if err != nil {
		j.broken = true
		j.lost.Add(n)
		_ = j.fails(err)
		return false
	}
	j.succeeds()
	if j.size > j.most {
		j.remind()
	}
	return true
}

// misses reports whether changes are missing in the file.
func (j *Journal) misses() bool { return j.broken || j.lost.Load() > 0 }

// fails takes note that the disk has failed, and returns why.
func (j *Journal) fails(err error) error {
	err = fmt.Errorf("cannot write the journal: %w", err)

	j.mu.Lock()
	defer j.mu.Unlock()
	j.failed++
	j.last, j.trouble = err, err
	return err
}

// succeeds takes note that the disk has taken something.
func (j *Journal) succeeds() {
	j.mu.Lock()
	defer j.mu.Unlock()
	if !j.doubted {
		j.trouble = nil
	}
}

// take empties the queue.
func (j *Journal) take() (lines []byte, n int64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	lines, n = j.queue, j.queued
	j.queue, j.queued = nil, 0
	return lines, n
}

// replace writes the state in place of the file. If that fails, the file before goes on, or if it is broken the spare
// one does.
func (j *Journal) replace() error {
	var lost int64 // changes that only the state has
	var lines []byte
	var n int64
	state := j.state(func() {
		lost = j.lost.Load()
		lines, n = j.take()
	})

	if err := j.renew(j.path, state); err != nil {
		if !j.add(lines, n) && j.spare != "" && j.renew(j.spare, state) == nil {
			j.mu.Lock()
			j.doubted, j.spared = true, true
			j.mu.Unlock()
			j.broken = false
			j.lost.Add(-lost - n)
		}
		return j.fails(err)
	}
	j.broken = false
	j.lost.Add(-lost)
	if j.spare != "" {
		_ = os.Remove(j.spare) // one that is older than the file means nothing
	}

	err := whole.SyncFolder(filepath.Dir(j.path)) // else a power cut may leave the file before
	j.mu.Lock()
	j.doubted, j.spared = err != nil, false
	j.mu.Unlock()
	if err != nil {
		return j.fails(err)
	}
	j.succeeds()
	return nil
}

// renew makes a new file of the state at a path, and the journal's of it once its bytes are on the disk.
func (j *Journal) renew(path string, state []any) error {
	var text bytes.Buffer
	for _, value := range state {
		line, err := encode(value)
		if err != nil {
			return err
		}
		text.Write(line)
	}

	next := path + ".new"
	file, err := j.create(next)
	if err != nil {
		return err
	}
	_, err = file.Write(text.Bytes())
	if f, ok := file.(*os.File); ok && err == nil {
		reserve(f, int64(text.Len()), maxGrow) // a disk that is full by then takes that much all the same
	}
	if err == nil {
		err = file.Sync()
	}
	if err == nil {
		err = os.Rename(next, path)
	}
	if err != nil { // which says more than what follows from it
		_ = file.Close()
		_ = os.Remove(next)
		return err
	}

	if j.file != nil {
		_ = j.file.Close()
	}
	j.file, j.size = file, int64(text.Len())
	j.most = 2*j.size + maxGrow
	return nil
}

// create makes an empty file.
func create(path string) (file, error) {
	return os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE|os.O_TRUNC, 0o600)
}

func encode(value any) ([]byte, error) {
	line, err := json.Marshal(value)
	if err != nil {
		return nil, err
	}
	return append(line, '\n'), nil
}
