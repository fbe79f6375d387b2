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
	"time"
)

// maxJournal bounds the journal when a keeper opens: of a longer one the last half of that is kept.
const maxJournal = 1 << 20

// record is a line of the journal.
type record struct {
	Name   string    `json:"name"`
	Pid    int       `json:"pid"`
	Event  string    `json:"event"` // started or exited
	Code   int       `json:"code"`
	Signal string    `json:"signal,omitempty"`
	How    string    `json:"how,omitempty"`
	Time   time.Time `json:"time"`
}

// The values of record.Event.
const (
	eventStarted = "started"
	eventExited  = "exited"
)

// openJournal opens the journal for appending. What an earlier keeper had started and not seen
// end, because it was killed, is recorded as ended in an unknown way.
func openJournal(path string) (*os.File, error) {
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
	if len(data) > maxJournal {
		kept := data[len(data)-maxJournal/2:]
		kept = kept[bytes.IndexByte(kept, '\n')+1:]
		if err := os.WriteFile(path+".new", kept, 0o600); err != nil {
			return nil, fmt.Errorf("cannot shorten the journal: %w", err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			return nil, fmt.Errorf("cannot shorten the journal: %w", err)
		}
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if _, err := f.Write(repair); err != nil {
		return nil, errors.Join(fmt.Errorf("cannot write the journal: %w", err), f.Close())
	}
	return f, nil
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

// record appends to the journal, in one write so that lines stay whole. A journal that cannot be
// written must not keep processes from running.
func (k *Keeper) record(r record) { _, _ = k.journal.Write(r.line()) }

// Exits returns the ends in the journal, the oldest first: also those of earlier keepers, as far
// as the journal goes back.
func (k *Keeper) Exits() ([]ExitRecord, error) {
	data, err := os.ReadFile(k.journal.Name())
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
