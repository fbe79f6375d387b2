//go:build linux || darwin

package keeper

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"sync/atomic"
	"time"
)

// maxJournal bounds the journal when a keeper opens, and half of what it grows to while one works:
// of a longer one the last half of that is kept.
const maxJournal = 1 << 20

// record is a line of the journal.
type record struct {
	Name   string    `json:"name"`
	Pid    int       `json:"pid"`
	Event  string    `json:"event"` // started, exited or lost
	Code   int       `json:"code"`
	Signal string    `json:"signal,omitempty"`
	How    string    `json:"how,omitempty"`
	Time   time.Time `json:"time"`
}

// The values of record.Event.
const (
	eventStarted = "started"
	eventExited  = "exited"
	eventLost    = "lost" // so many records are missing before it
)

// journal appends records on a goroutine of its own: who has something to record never waits for
// the disk. A journal that cannot be written must not keep processes from running; what it lacks is
// counted, and said in it when it can be written again.
type journal struct {
	path    string
	file    *os.File
	size    int64
	records chan record
	lost    atomic.Int64
	done    chan struct{} // closed when everything is written
	flushes chan chan struct{}
}

// maxRecords bounds the records that wait for the disk.
const maxRecords = 1024

// openJournal opens the journal for appending. What an earlier keeper had started and not seen
// end, because it was killed, is recorded as ended in an unknown way.
func openJournal(path string) (*journal, error) {
	data, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}

	var repair []byte
	if len(data) > 0 && data[len(data)-1] != '\n' {
		repair = []byte("\n") // after half a line of a keeper that was killed, or of a full disk
	}
	for _, lost := range unfinished(data) {
		lost.Event, lost.Code, lost.How, lost.Time = eventExited, -1, howUnknown, time.Now()
		repair = append(repair, lost.line()...)
	}

	j := &journal{
		path: path, records: make(chan record, maxRecords), done: make(chan struct{}),
		flushes: make(chan chan struct{}),
	}
	if err := j.shorten(data); err != nil {
		return nil, err
	}
	if _, err := j.file.Write(repair); err != nil {
		return nil, errors.Join(fmt.Errorf("cannot write the journal: %w", err), j.file.Close())
	}
	go j.serve()

	return j, nil
}

// shorten keeps the last half of a journal that is too long, and opens it for appending.
func (j *journal) shorten(data []byte) error {
	if len(data) > maxJournal {
		kept := data[len(data)-maxJournal/2:]
		kept = kept[bytes.IndexByte(kept, '\n')+1:]
		if err := os.WriteFile(j.path+".new", kept, 0o600); err != nil {
			return fmt.Errorf("cannot shorten the journal: %w", err)
		}
		if err := os.Rename(j.path+".new", j.path); err != nil {
			return fmt.Errorf("cannot shorten the journal: %w", err)
		}
		data = kept
	}

	file, err := os.OpenFile(j.path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	if j.file != nil {
		j.file.Close()
	}
	j.file, j.size = file, int64(len(data))

	return nil
}

// record appends a record. It does not wait.
func (j *journal) record(r record) {
	select {
	case j.records <- r:
	default:
		j.lost.Add(1)
	}
}

// serve writes records until there are no more.
func (j *journal) serve() {
	defer close(j.done)
	for {
		select {
		case r, more := <-j.records:
			if !more {
				return
			}
			j.write(r)
		case written := <-j.flushes:
			for len(j.records) > 0 {
				j.write(<-j.records)
			}
			close(written)
		}
	}
}

// write writes one record in one write, so that lines stay whole.
func (j *journal) write(r record) {
	line := r.line()
	lost := j.lost.Swap(0)
	if lost > 0 {
		missing := record{Name: "journal", Event: eventLost, Code: int(lost), Time: time.Now()}
		line = append(append([]byte("\n"), missing.line()...), line...)
	}

	n, err := j.file.Write(line)
	j.size += int64(n)
	if err != nil {
		j.lost.Add(lost + 1)
		return
	}

	if j.size > 2*maxJournal {
		if data, err := os.ReadFile(j.path); err == nil {
			_ = j.shorten(data) // it grows on
		}
	}
}

// close writes what is left. Nothing is recorded any more.
func (j *journal) close() error {
	close(j.records)
	<-j.done

	return j.file.Close()
}

// flush waits until what has been recorded is written.
func (j *journal) flush() {
	written := make(chan struct{})
	select {
	case j.flushes <- written:
		<-written
	case <-j.done:
	}
}

// records reads a journal. Lines that are none, such as those that a full disk cut, are skipped.
func records(data []byte) []record {
	var list []record
	for line := range bytes.Lines(data) {
		var r record
		if json.Unmarshal(line, &r) == nil && r.Name != "" {
			list = append(list, r)
		}
	}
	return list
}

// unfinished returns the starts of a journal that no end follows, the oldest first.
func unfinished(data []byte) []record {
	var lost []record
	for _, r := range records(data) {
		// A number that starts again has ended before.
		lost = slices.DeleteFunc(lost, func(l record) bool {
			return l.Name == r.Name && l.Pid == r.Pid
		})
		if r.Event == eventStarted {
			lost = append(lost, r)
		}
	}
	return lost
}

func (r record) line() []byte {
	line, err := json.Marshal(r)
	if err != nil {
		return nil
	}
	return append(line, '\n')
}

// Exits returns the ends in the journal, the oldest first: also those of earlier keepers, as far
// as the journal goes back.
func (k *Keeper) Exits() ([]ExitRecord, error) {
	k.journal.flush()
	data, err := os.ReadFile(k.journal.path)
	if err != nil {
		return nil, err
	}
	var exits []ExitRecord
	for _, r := range records(data) {
		if r.Event == eventExited {
			exits = append(exits, ExitRecord{r.Name, r.Pid, Exit{r.Code, r.Signal, r.How, r.Time}})
		}
	}
	return exits, nil
}
