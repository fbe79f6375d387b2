// Package journal keeps a state in a file of JSON lines: what has changed is added, and the whole
// state replaces the file when that has become long, or when changes could not be written. Who has
// something to add never waits for the disk.
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
	ErrSlow   = errors.New("the journal is not written yet: the disk is slow")
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

// Journal is a journal that is being written.
//
// Invariants:
//   - What is in the file is the state at some time, followed by the changes since, in order.
//   - After a change that could not be written, nothing is added before the state has replaced the
//     file.
//   - Changes are written by whoever waits for them: that is sooner than by somebody else. Only the
//     journal's own goroutine waits for the disk.
type Journal struct {
	path  string
	state State
	lost  atomic.Int64 // changes that are not in the file

	mu     sync.Mutex // guards what follows
	queue  []byte     // changes that are to be written
	queued int64      // how many they are

	turn   chan struct{} // has something while somebody has what follows
	file   *os.File
	size   int64
	most   int64 // size at which the state replaces the file
	broken bool  // a change could not be written

	more chan struct{} // has something after changes
	asks chan ask
	quit chan struct{}
	done chan struct{} // closed when everything is written
}

// ask is the wish to have everything written that was added.
type ask struct {
	sync    bool // it is to survive the end of the machine
	written chan<- error
}

// Open writes the state to the file at path, in place of what is there, and begins to add to it. If there is none, somebody
// has just made the folders that it is in: their names are brought to the disk as well, else a power cut takes the journal.
func Open(path string, state State) (*Journal, error) {
	j := &Journal{
		path: path, state: state, turn: make(chan struct{}, 1), more: make(chan struct{}, 1),
		asks: make(chan ask), quit: make(chan struct{}), done: make(chan struct{}),
	}
	_, err := os.Lstat(path)
	if err := j.replace(); err != nil {
		return nil, err
	}
	if errors.Is(err, fs.ErrNotExist) {
		for dir := filepath.Dir(path); dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
			syncNames(filepath.Dir(dir))
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
	select {
	case j.more <- struct{}{}:
	default:
	}
}

// Lost returns how many changes are not in the file, because the disk is full or slow. They get
// there with the next state that can be written.
func (j *Journal) Lost() int64 { return j.lost.Load() }

// Flush writes everything that was added to the file, where it survives the end of this process: the
// system has it in memory, and the caller does not wait for the disk. If the state has to be written
// first, and that takes longer than it may, the error is [ErrSlow].
func (j *Journal) Flush(most time.Duration) error {
	select {
	case j.turn <- struct{}{}:
		written := j.append()
		<-j.turn
		if written {
			return nil
		}
	default:
	}

	return j.wait(most, false)
}

// Sync brings everything that was added to the disk, where it survives the end of the machine. If
// that takes longer than it may, the error is [ErrSlow].
func (j *Journal) Sync(most time.Duration) error { return j.wait(most, true) }

// wait has the journal's goroutine write.
func (j *Journal) wait(most time.Duration, sync bool) error {
	late := time.NewTimer(most)
	defer late.Stop()

	written := make(chan error, 1)
	select {
	case j.asks <- ask{sync, written}:
	case <-j.done:
		return ErrClosed
	case <-late.C:
		return ErrSlow
	}

	select {
	case err := <-written:
		return err
	case <-late.C:
		return ErrSlow
	}
}

// Close writes what was added before. Nothing is added any more.
func (j *Journal) Close() error {
	close(j.quit)
	<-j.done

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
			a.written <- j.flush(a.sync)
		case <-j.more:
			if lazy == nil {
				lazy = time.After(lazyTime)
			}
		case <-lazy:
			lazy = nil
			if j.lost.Load() == 0 { // else it is not tried so often
				_ = j.flush(false) // what is lost is counted
			}
		case <-mend.C:
			if j.lost.Load() > 0 {
				_ = j.flush(false) // the next one may succeed
			}
		case <-j.quit:
			_ = j.flush(false) // there is nobody left to tell
			return
		}
	}
}

// flush brings everything to the file, and to the disk if that is wanted.
func (j *Journal) flush(sync bool) error {
	j.turn <- struct{}{}
	var err error
	if !j.append() {
		err = j.replace()
	}
	file := j.file
	<-j.turn
	if err != nil || !sync {
		return err
	}

	if err := file.Sync(); err != nil {
		return fmt.Errorf("cannot write the journal: %w", err)
	}
	return nil
}

// append writes the queue behind what is in the file. If it returns false, the state is to replace
// the file.
func (j *Journal) append() bool {
	lines, n := j.take()
	switch {
	case j.broken || j.lost.Load() > 0:
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
	}
	return err == nil && j.size <= j.most
}

// take empties the queue.
func (j *Journal) take() (lines []byte, n int64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	lines, n = j.queue, j.queued
	j.queue, j.queued = nil, 0
	return lines, n
}

// replace writes the state in place of the file.
func (j *Journal) replace() error {
	var lost int64 // changes that only the state has
	state := j.state(func() {
		_, n := j.take()
		lost = j.lost.Add(n)
	})

	if err := j.write(state); err != nil {
		j.broken = true
		return fmt.Errorf("cannot write the journal: %w", err)
	}
	j.broken = false
	j.lost.Add(-lost)
	return nil
}

// write makes a new file of the state, and the journal's of it once it is on the disk.
func (j *Journal) write(state []any) error {
	var text bytes.Buffer
	for _, value := range state {
		line, err := encode(value)
		if err != nil {
			return err
		}
		text.Write(line)
	}

	file, err := os.OpenFile(j.path+".new", os.O_WRONLY|os.O_APPEND|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(text.Bytes())
	if err = errors.Join(err, file.Sync()); err == nil {
		err = os.Rename(file.Name(), j.path)
	}
	if err != nil {
		return errors.Join(err, file.Close(), os.Remove(j.path+".new"))
	}

	syncNames(filepath.Dir(j.path))
	if j.file != nil {
		j.file.Close()
	}
	j.file, j.size = file, int64(text.Len())
	j.most = 2*j.size + maxGrow

	return nil
}

// syncNames makes the names in a folder as durable as files that are synced, where folders can be synced.
func syncNames(dir string) {
	folder, err := os.Open(dir)
	if err != nil {
		return
	}
	_ = folder.Sync()
	_ = folder.Close()
}

func encode(value any) ([]byte, error) {
	line, err := json.Marshal(value)
	if err != nil {
		return nil, err
	}
	return append(line, '\n'), nil
}
