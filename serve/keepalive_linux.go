package serve

import (
	"errors"
	"net"
	"syscall"
)

// listening is how TCP sockets are opened. What package net would set on each connection, by four calls of the system, is
// set on the listener once: Linux has connections inherit it.
var listening = net.ListenConfig{KeepAlive: -1, Control: func(_, _ string, c syscall.RawConn) error {
	var errs []error
	err := c.Control(func(fd uintptr) {
		for _, o := range probes {
			errs = append(errs, syscall.SetsockoptInt(int(fd), o.level, o.name, o.value))
		}
	})
	return errors.Join(append(errs, err)...)
}}

// probes have the system look after a client of which nothing is heard, as package net has it: after 15 s, every 15 s, and
// nine times.
var probes = []struct{ level, name, value int }{
	{syscall.SOL_SOCKET, syscall.SO_KEEPALIVE, 1},
	{syscall.IPPROTO_TCP, syscall.TCP_KEEPIDLE, 15},
	{syscall.IPPROTO_TCP, syscall.TCP_KEEPINTVL, 15},
	{syscall.IPPROTO_TCP, syscall.TCP_KEEPCNT, 9},
}
