package link

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
)

// splitAddr reads "unix:///path", "tcp://host:port" and the same behind "mtls://". Without a
// scheme, what contains a slash is a path and anything else a host and port.
func splitAddr(addr string) (network, address string, secure bool, err error) {
	rest, secure := strings.CutPrefix(addr, "mtls://")
	network, address, ok := strings.Cut(rest, "://")
	switch {
	case !ok && strings.Contains(rest, "/"):
		network, address = "unix", rest
	case !ok:
		network, address = "tcp", rest
	}
	if address == "" || network != "unix" && network != "tcp" {
		return "", "", false, fmt.Errorf("address %q is none of unix:///path, tcp://host:port, mtls://tcp://host:port", addr)
	}
	return network, address, secure, nil
}

// Dial connects to an address that starts with unix://, tcp:// or mtls://. For the last it does
// the TLS handshake with config; if that names no server, the address's host is expected.
func Dial(ctx context.Context, addr string, config *tls.Config) (net.Conn, error) {
	network, address, secure, err := splitAddr(addr)
	if err != nil {
		return nil, err
	}
	if secure && config == nil {
		return nil, fmt.Errorf("cannot connect to %s: no TLS configuration is given", addr)
	}
	var d net.Dialer
	nc, err := d.DialContext(ctx, network, address)
	if err != nil || !secure {
		return nc, err
	}
	if config.ServerName == "" && !config.InsecureSkipVerify {
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			host = "localhost"
		}
		config = config.Clone()
		config.ServerName = host
	}
	tc := tls.Client(nc, config)
	if err := tc.HandshakeContext(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("cannot connect to %s: %w", addr, err), nc.Close())
	}
	return tc, nil
}

// Listen listens on an address that Dial connects to; "tcp://localhost:0" takes any port. TLS
// is the server's business. A Unix socket that a killed process has left is replaced.
func Listen(addr string) (net.Listener, error) {
	network, address, _, err := splitAddr(addr)
	if err != nil {
		return nil, err
	}

	l, err := net.Listen(network, address)
	if network == "unix" && errors.Is(err, syscall.EADDRINUSE) && deserted(address) {
		os.Remove(address)
		return net.Listen(network, address)
	}
	return l, err
}

// deserted reports whether a socket is there, and nobody listens on it.
func deserted(path string) bool {
	conn, err := net.Dial("unix", path)
	if err == nil {
		conn.Close()
	}
	return errors.Is(err, syscall.ECONNREFUSED)
}

// AddrOf is the address that Dial takes to connect to l.
func AddrOf(l net.Listener, secure bool) string {
	addr := l.Addr().Network() + "://" + l.Addr().String()
	if secure {
		return "mtls://" + addr
	}
	return addr
}

// Cut closes a connection without a farewell: that of TLS waits for the peer, and the framing
// notices a cut without it.
func Cut(nc net.Conn) error {
	if t, ok := nc.(*tls.Conn); ok {
		nc = t.NetConn()
	}
	return nc.Close()
}
