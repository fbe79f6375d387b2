// Package colors says whether output may be coloured, and has the codes.
package colors

import "os"

// Codes for terminals.
const (
	Reset  = "\x1b[0m"
	Dim    = "\x1b[2m"
	Red    = "\x1b[31m"
	Yellow = "\x1b[33m"
	Cyan   = "\x1b[36m"
)

// Enabled reports whether standard output and standard error take colours: both are terminals that
// are not dumb, and NO_COLOR is not set (see no-color.org).
func Enabled() bool {
	return os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" &&
		isTerminal(os.Stdout) && isTerminal(os.Stderr)
}

// isTerminal takes every character device for a terminal: on others nobody sees the colours.
func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
