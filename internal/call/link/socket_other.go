//go:build !unix

package link

import (
	"net"

	"github.com/divisi-go/divisi/internal/wire"
)

// trierOf returns what writes to a connection without waiting; nil if nothing does.
func trierOf(nc net.Conn) trier {
	t, _ := nc.(trier)
	return t
}

// lenderOf returns nil: nothing reads without a buffer.
func lenderOf(net.Conn) wire.Lender { return nil }
