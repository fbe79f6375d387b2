//go:build !linux

package serve

import "net"

// listening is how TCP sockets are opened.
var listening net.ListenConfig
