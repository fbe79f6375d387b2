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

// Enabled reports whether standard output takes colours: it is a terminal that is not dumb, and
// NO_COLOR is not set (see no-color.org).
func Enabled() bool {
	if os.Getenv("NO_COLOR") != "" || os.Getenv("TERM") == "dumb" {
		return false
	}
	info, err := os.Stdout.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
