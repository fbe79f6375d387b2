package control

import (
	"errors"
	"net/http"
)

// Error is a refusal, as an answer and as the error of a [Client].
type Error struct {
	Text string `json:"error"`
	Code Code   `json:"code"`
	Way  string `json:"hint,omitempty"` // out, for people
}

var _ error = (*Error)(nil)

func (e *Error) Error() string { return e.Text }

// Hint returns what to do about the error, "" if nothing is known.
func (e *Error) Hint() string { return e.Way }

// Code says to programs what kind of error it is.
type Code string

// The codes.
const (
	Invalid  Code = "invalid"   // a parameter is wrong
	NotFound Code = "not_found" // there is nothing of that name
	Failed   Code = "failed"    // it was tried
)

// Status returns the status of HTTP that goes with a code.
func (c Code) Status() int {
	switch c {
	case Invalid:
		return http.StatusBadRequest
	case NotFound:
		return http.StatusNotFound
	default:
		return http.StatusInternalServerError
	}
}

// asError returns an error as the API shows it, with the hint that it has, if any.
func asError(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	e = &Error{Text: err.Error(), Code: Failed}
	var hinted interface{ Hint() string }
	if errors.As(err, &hinted) {
		e.Way = hinted.Hint()
	}
	return e
}
