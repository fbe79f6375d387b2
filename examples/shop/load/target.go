package main

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"syscall"
	"time"
)

// target is the shop under load. It is on this machine: a load generator pointed elsewhere, by
// accident or not, is an attack.
type target struct {
	host    string // as in the Host header
	dialer  net.Dialer
	timeout time.Duration // of one request, connecting included
}

func parseTarget(text string, timeout time.Duration) (*target, error) {
	u, err := url.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("cannot read -url: %w", err)
	}
	switch {
	case u.Scheme != "http":
		return nil, fmt.Errorf("-url %s: need http://host:port", text)
	case u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.User != nil:
		return nil, fmt.Errorf("-url %s: need http://host:port and nothing more", text)
	}
	address, err := netip.ParseAddr(u.Hostname())
	if u.Hostname() != "localhost" && (err != nil || !address.IsLoopback()) {
		return nil, fmt.Errorf("-url %s: load visits this machine only: use localhost, 127.0.0.1 or [::1]", text)
	}
	host := u.Host
	if u.Port() == "" {
		host = net.JoinHostPort(u.Hostname(), "80")
	}
	return &target{
		host:    host,
		timeout: timeout,
		dialer:  net.Dialer{Timeout: timeout, Control: onlyLoopback},
	}, nil
}

// onlyLoopback looks at what a name was resolved to.
func onlyLoopback(_, address string, _ syscall.RawConn) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil || !to.Addr().Unmap().IsLoopback() {
		return fmt.Errorf("%s is not an address of this machine's loopback interface", address)
	}
	return nil
}
