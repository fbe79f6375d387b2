package codegen

import "fmt"

// Key is what a method is called by on the wire: a hash of its component, its name and the layout
// of its arguments and results, so that two builds that differ never misread each other.
type Key [16]byte

// Status is how a call ended, as it travels in a response.
type Status uint16

// The statuses. Unimplemented, Overloaded, Deadline and Draining mean that the call was not
// executed.
const (
	StatusOK            Status = 0
	StatusAppError      Status = 1 // the method returned an error: its tree, then the results
	StatusPanic         Status = 2 // the method panicked: the text of the panic
	StatusUnimplemented Status = 3 // the replica has no such method: why
	StatusOverloaded    Status = 4 // the replica has too much to do: why
	StatusDeadline      Status = 5 // the deadline had passed before the call could start
	StatusDraining      Status = 6 // the replica takes no new calls
	StatusBadArgs       Status = 7 // arguments or results cannot be carried: why
	StatusCancelled     Status = 8 // the call's context ended before the method did
)

var statusNames = [...]string{
	"OK", "APP_ERROR", "PANIC", "UNIMPLEMENTED", "OVERLOADED", "DEADLINE", "DRAINING", "BAD_ARGS", "CANCELLED",
}

// String returns the name that docs/calls.md gives to the status.
func (s Status) String() string {
	if int(s) < len(statusNames) {
		return statusNames[s]
	}
	return fmt.Sprintf("status %d", uint16(s))
}

// StatusError is the error of [Receiver] when the other side ended the stream abnormally.
type StatusError struct {
	Status Status
	Text   string // the body of the response
}

func (e *StatusError) Error() string {
	if e.Status == StatusAppError || e.Text == "" {
		return fmt.Sprintf("the stream ended with %v", e.Status)
	}
	return fmt.Sprintf("the stream ended with %v: %s", e.Status, e.Text)
}
