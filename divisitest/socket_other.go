//go:build !unix

package divisitest

import (
	"net"
	"os"
)

// socketOf returns a file of a listener's socket.
func socketOf(l *net.TCPListener) (*os.File, error) { return l.File() }
