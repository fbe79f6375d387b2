// Package refusal has errors of a keeper be the same errors for its clients, in other processes.
package refusal

import (
	"encoding/json"
	"errors"
	"os"
	"syscall"

	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/keeper/frame"
)

// ErrProtocol is the error of a keeper and a client that do not understand each other.
var ErrProtocol = errors.New("the keeper speaks another protocol")

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

// detail is what a refusal says beside its code.
type detail struct {
	Errno int  `json:"errno,omitempty"` // of the system, which is the reason
	Bound bool `json:"bound,omitempty"` // it is [keeper.ErrBound] as well
}

// Told returns an error as the other side is told it.
func Told(err error) error {
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
	errors.As(err, &errno)
	if d := (detail{int(errno), errors.Is(err, keeper.ErrBound)}); d != (detail{}) {
		e.Detail, _ = json.Marshal(d) // a number and a truth
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

// Understood returns the error that a refusal stands for. Other errors stay what they are.
func Understood(err error) error {
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
	var d detail
	if json.Unmarshal(e.Detail, &d) != nil {
		return r
	}
	if d.Errno > 0 {
		r.reasons = append(r.reasons, syscall.Errno(d.Errno))
	}
	if d.Bound {
		r.reasons = append(r.reasons, keeper.ErrBound)
	}
	return r
}
