//go:build !unix

package link

import "net"

// trierOf returns what writes to a connection without waiting; nil if nothing does.
func trierOf(nc net.Conn) trier {
	t, _ := nc.(trier)
	return t
}
