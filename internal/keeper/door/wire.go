package door

import (
	"encoding/json"
	"errors"
	"os"
	"syscall"
	"time"

	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/keeper/frame"
)

// Protocol is the number of the protocol that this package speaks, and oldest that of the oldest one
// that it understands.
const (
	Protocol = 1
	oldest   = 1
)

// upgrade is the name of the frames in HTTP.
const upgrade = "divisi-keeper"

// farewell is what the keeper asks its clients when it was shut down: to start no other one.
const farewell = "farewell"

// hello is the body of attach.
type hello struct {
	Protocol int `json:"protocol"`
	keeper.Claim
	Patience time.Duration `json:"patience"` // how long to wait for somebody else's claim to end
}

// welcome is the answer.
type welcome struct {
	Protocol int           `json:"protocol"`
	Holder   keeper.Holder `json:"holder"`
	Keeper   Info          `json:"keeper"`
}

// Info is what a keeper says of itself.
type Info struct {
	Pid      int       `json:"pid"`
	Protocol int       `json:"protocol"`
	Program  string    `json:"program"`
	Home     string    `json:"home"` // state folder
	Boot     string    `json:"boot,omitempty"`
	Started  time.Time `json:"started"`
	Clients  int       `json:"clients"`            // that are attached
	Resident int64     `json:"resident,omitempty"` // memory, in bytes

	Supervised bool `json:"supervised,omitempty"` // something starts it again, such as systemd
}

// ask is the body of every other request. A verb uses what it needs.
type ask struct {
	Domain    string         `json:"domain,omitempty"`
	Key       string         `json:"key,omitempty"` // of a socket, or of a slot
	ID        keeper.ID      `json:"id,omitzero"`
	Signal    int            `json:"signal,omitempty"`
	After     uint64         `json:"after,omitempty"`
	Socket    *keeper.Socket `json:"socket,omitempty"`
	Spec      *keeper.Spec   `json:"spec,omitempty"`
	Variables []string       `json:"variables,omitempty"` // of the files that come with Spec
	Program   string         `json:"program,omitempty"`   // that takes over
	Again     bool           `json:"again,omitempty"`     // it was asked for before, and the keeper ended without an answer
}

// The codes of errors that are the same error on both sides.
var codes = []struct {
	code string
	err  error
}{
	{"runs", keeper.ErrRuns},
	{"differs", keeper.ErrDiffers},
	{"unknown", keeper.ErrUnknown},
	{"held", keeper.ErrHeld},
	{"fenced", keeper.ErrFenced},
	{"no_claim", keeper.ErrNoClaim},
	{"invalid", keeper.ErrInvalid},
	{"closed", keeper.ErrClosed},
	{"ended", os.ErrProcessDone},
	{"protocol", ErrProtocol},
}

// ErrProtocol is the error of a keeper and a client that do not understand each other.
var ErrProtocol = errors.New("the keeper speaks another protocol")

// ErrNone is the error when no keeper runs.
var ErrNone = errors.New("no keeper runs")

// systemError is the detail of a refusal that the system is the reason for.
type systemError struct {
	Errno int `json:"errno"`
}

// refusal returns an error as the other side is told it.
func refusal(err error) error {
	if err == nil {
		return nil
	}

	e := &frame.Error{Text: err.Error(), Code: frame.CodeFailed}
	var known *frame.Error
	if errors.As(err, &known) {
		e.Code, e.Way, e.Detail = known.Code, known.Way, known.Detail
	}
	for _, c := range codes {
		if errors.Is(err, c.err) {
			e.Code = c.code
			break
		}
	}
	var hinted interface{ Hint() string }
	if errors.As(err, &hinted) {
		e.Way = hinted.Hint()
	}
	var errno syscall.Errno
	if errors.As(err, &errno) {
		e.Detail, _ = json.Marshal(systemError{int(errno)}) // a number
	}
	return e
}

// refused is a refusal as this side understands it.
type refused struct {
	said    *frame.Error
	reasons []error
}

var _ error = (*refused)(nil)

func (r *refused) Error() string { return r.said.Text }

// Hint returns what to do about the error, "" if nothing is known.
func (r *refused) Hint() string { return r.said.Way }

func (r *refused) Unwrap() []error { return append([]error{r.said}, r.reasons...) }

// understood returns the error that a refusal stands for.
func understood(err error) error {
	var e *frame.Error
	if !errors.As(err, &e) {
		return err
	}

	r := &refused{said: e}
	for _, c := range codes {
		if e.Code == c.code {
			r.reasons = append(r.reasons, c.err)
		}
	}
	var system systemError
	if json.Unmarshal(e.Detail, &system) == nil && system.Errno > 0 {
		r.reasons = append(r.reasons, syscall.Errno(system.Errno))
	}
	return r
}
