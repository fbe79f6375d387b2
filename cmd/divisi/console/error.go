package console

import "fmt"

// The exit codes.
const (
	Done        = 0
	Failed      = 1
	Usage       = 2
	Degraded    = 3 // or only partly done, or somebody else has taken it over
	Timeout     = 4
	Interrupted = 130
)

// Error is an error with an exit code of its own, and perhaps a way out.
type Error struct {
	Code int
	Err  error  // nil: all is said, and only the exit code is left to tell
	Way  string // out
}

func (e *Error) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("exit code %d", e.Code)
	}
	return e.Err.Error()
}
func (e *Error) Unwrap() error { return e.Err }
func (e *Error) Hint() string  { return e.Way }

// UsageError is an error about how a command is used.
func UsageError(format string, args ...any) error {
	return &Error{Code: Usage, Err: fmt.Errorf(format, args...)}
}

// Failure is an error with a way out.
func Failure(hint, format string, args ...any) error {
	return &Error{Code: Failed, Err: fmt.Errorf(format, args...), Way: hint}
}
