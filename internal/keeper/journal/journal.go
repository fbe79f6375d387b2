// Package journal keeps a state in a file of JSON lines: what has changed is added, and the whole
// state replaces the file when that has become long, or when changes could not be written. Who has
// something to add never waits for the disk.
package journal

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"
)

// Bounds of a journal.
const (
	maxFile  = 64 << 20 // a longer one is not read
	maxGrow  = 1 << 20  // beyond twice the state, before the state replaces it
	maxQueue = 1024     // lines that wait for the disk
)

// mendEvery is how often the state is written while the disk takes nothing.
const mendEvery = time.Second

// ErrClosed is the error of waiting for a journal that is closed.
var ErrClosed = errors.New("the journal is closed")

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

// Journal is a journal that is being written, on a goroutine of its own.
//
// Invariants:
//   - What is in the file is the state at some time, followed by the changes since, in order.
//   - After a change that could not be written, nothing is added before the state has replaced the
//     file.
type Journal struct {
	path  string
	state State
	queue chan item
	quit  chan struct{}
	done  chan struct{} // closed when everything is written
	lost  atomic.Int64  // changes that are not in the file

	// What follows belongs to the journal's goroutine.
	file   *os.File
	size   int64
	most   int64     // size at which the state replaces the file
	broken bool      // a change could not be written
	tried  time.Time // to mend that
}

// item is a line, or somebody who waits for what came before.
type item struct {
	line    []byte
	written chan error // nil in a line
	sync    bool       // it is to survive the end of the machine
}

// Open writes the state to the file at path, in place of what is there, and begins to add to it.
func Open(path string, state State) (*Journal, error) {
	j := &Journal{
		path: path, state: state,
		queue: make(chan item, maxQueue), quit: make(chan struct{}), done: make(chan struct{}),
	}
	if err := j.replace(); err != nil {
		return nil, err
	}

	go j.serve()
	return j, nil
}

// Add adds a change. It does not wait.
func (j *Journal) Add(change any) {
	line, err := encode(change)
	if err != nil {
		j.lost.Add(1)
		return
	}

	select {
	case j.queue <- item{line: line}:
	default:
		j.lost.Add(1)
	}
}

// Lost returns how many changes are not in the file, because the disk is full or slow. They get
// there with the next state that can be written.
func (j *Journal) Lost() int64 { return j.lost.Load() }

// Flush waits until everything that was added is in the file, and survives the end of this process.
func (j *Journal) Flush(ctx context.Context) error { return j.wait(ctx, false) }

// Sync waits until everything that was added is on the disk, and survives the end of the machine.
func (j *Journal) Sync(ctx context.Context) error { return j.wait(ctx, true) }

func (j *Journal) wait(ctx context.Context, sync bool) error {
	written := make(chan error, 1)
	select {
	case j.queue <- item{written: written, sync: sync}:
	case <-j.done:
		return ErrClosed
	case <-ctx.Done():
		return context.Cause(ctx)
	}

	select {
	case err := <-written:
		return err
	case <-j.done:
		return ErrClosed
	case <-ctx.Done():
		return context.Cause(ctx)
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

	for {
		select {
		case i := <-j.queue:
			j.take(i)
		case <-mend.C:
			if j.lost.Load() > 0 {
				_ = j.mend() // the next one may succeed
			}
		case <-j.quit:
			for len(j.queue) > 0 {
				j.take(<-j.queue)
			}
			if j.lost.Load() > 0 {
				j.tried = time.Time{}
				_ = j.mend() // there is nobody left to tell
			}
			return
		}
	}
}

// take writes a line, or answers who waits.
func (j *Journal) take(i item) {
	if i.written != nil {
		i.written <- j.flush(i.sync)
		return
	}
	if j.broken || j.lost.Load() > 0 {
		j.lost.Add(1)
		_ = j.mend()
		return
	}

	n, err := j.file.Write(i.line)
	j.size += int64(n)
	if err != nil {
		j.broken = true
		j.lost.Add(1)
		return
	}
	if j.size > j.most {
		j.broken = j.replace() != nil
	}
}

// flush brings everything to the file, and to the disk if that is wanted.
func (j *Journal) flush(sync bool) error {
	if j.broken || j.lost.Load() > 0 {
		j.tried = time.Time{}
		if err := j.mend(); err != nil {
			return err
		}
	}

	if !sync {
		return nil
	}
	if err := j.file.Sync(); err != nil {
		return fmt.Errorf("cannot write the journal: %w", err)
	}
	return nil
}

// mend writes the state after changes were lost, but not often.
func (j *Journal) mend() error {
	if time.Since(j.tried) < mendEvery {
		return nil
	}

	j.tried = time.Now()
	return j.replace()
}

// replace writes the state in place of the file.
func (j *Journal) replace() error {
	var lost int64 // changes that only the state has
	var waiting []chan error
	state := j.state(func() {
		for len(j.queue) > 0 {
			i := <-j.queue
			if i.written != nil {
				waiting = append(waiting, i.written)
			} else {
				j.lost.Add(1)
			}
		}
		lost = j.lost.Load()
	})

	err := j.write(state)
	if err != nil {
		err = fmt.Errorf("cannot write the journal: %w", err)
		j.broken = true
	} else {
		j.broken = false
		j.lost.Add(-lost)
	}
	for _, written := range waiting {
		written <- err
	}

	return err
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

	// The name is as durable as the file where folders can be synced.
	if dir, err := os.Open(filepath.Dir(j.path)); err == nil {
		_ = dir.Sync()
		dir.Close()
	}

	if j.file != nil {
		j.file.Close()
	}
	j.file, j.size = file, int64(text.Len())
	j.most = 2*j.size + maxGrow

	return nil
}

func encode(value any) ([]byte, error) {
	line, err := json.Marshal(value)
	if err != nil {
		return nil, err
	}
	return append(line, '\n'), nil
}
