//go:build !unix

package drain

import "net"

// unread reports whether the system has bytes of a connection that its server has not read yet, which it cannot tell here.
func unread(net.Conn) bool { return false }
