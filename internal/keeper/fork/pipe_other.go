//go:build unix && !linux

package fork

import "os"

// newPipe returns both ends of a pipe for what a process prints.
func newPipe() (read, write *os.File, err error) { return os.Pipe() }
