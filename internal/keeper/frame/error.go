package frame

import (
	"encoding/json"
	"errors"
	"fmt"
)

// Error is a refusal: how a request failed at the other end.
type Error struct {
	Text   string          `json:"error,omitempty"`
	Code   string          `json:"code,omitempty"`   // what kind of error it is, for programs
	Way    string          `json:"hint,omitempty"`   // out, for people
	Detail json.RawMessage `json:"detail,omitempty"` // what else belongs to the code
}

var _ error = (*Error)(nil)

func (e *Error) Error() string { return e.Text }

// Hint returns what to do about the error, "" if nothing is known.
func (e *Error) Hint() string { return e.Way }

// The codes of this package. Handlers have their own.
const (
	CodeFailed      = "failed"       // it was tried
	CodeInvalid     = "invalid"      // the body cannot be understood
	CodeUnknownVerb = "unknown_verb" // this peer does not know the request
	CodeBusy        = "busy"         // too many requests are open
	CodeTooLong     = "too_long"     // the answer does not fit into a frame
	CodeNoFiles     = "no_files"     // descriptors were lost on their way
)

// ErrClosed is the error of requests when the connection is over. Whether one of them was executed
// is not known.
var ErrClosed = errors.New("the connection is over")

// Unknown is the refusal of a verb that a handler does not know.
func Unknown(verb string) error {
	return &Error{Text: "there is no request " + quote(verb), Code: CodeUnknownVerb}
}

// asError returns an error as the peer is told it, with the code and the hint that it has, if any.
func asError(err error) Error {
	e := Error{Text: err.Error(), Code: CodeFailed}
	var refusal *Error
	var hinted interface{ Hint() string }
	switch {
	case errors.As(err, &refusal):
		e.Code, e.Way, e.Detail = refusal.Code, refusal.Way, refusal.Detail
	case errors.As(err, &hinted):
		e.Way = hinted.Hint()
	}
	if e.Text == "" {
		e.Text = e.Code // an error without a text would be an answer
	}
	return e
}

// quote quotes the beginning of a text.
func quote(s string) string { return fmt.Sprintf("%.64q", s) }
