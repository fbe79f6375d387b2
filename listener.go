package divisi

import (
	"net"
)

// Listener is a field of a component that serves a network: the field's name, or its tag
// `divisi:"name"`, is the listener's name, by which the configuration gives it an address:
//
//	[single]
//	listeners.web = { address = "localhost:8080" } # of go run .
//
//	[process]
//	listeners.web = { address = "localhost:8080" } # of divisi run .
//
// Without one, it is at a free port of this machine. A program that systemd starts for a socket uses
// that: the one with the listener's name, or the only one for the only listener. All replicas of the
// component share the address. The listener is open before Init is called.
//
// When the process is to end, Accept stops returning connections and returns net.ErrClosed only once
// the connections that are there have been served, or time is up. A connection on which net/http waits
// for the next HTTP/1 request is closed then, and one of HTTP/2 or another encrypted protocol when
// nothing has come or gone for a third of the time, or earlier by GOAWAY under Handler and Server. Any
// other is left until its server closes it.
type Listener struct {
	net.Listener
	proxy string
}

// String returns the address that clients use. Listeners are fields, which programs print as values.
func (l Listener) String() string {
	if l.proxy != "" {
		return l.proxy
	}
	if l.Listener == nil {
		return "listener not open"
	}
	return l.Addr().String()
}

// ProxyAddr returns the address of the proxy in front of the listener, or "" if there is none.
func (l *Listener) ProxyAddr() string { return l.proxy }

func (l *Listener) setListener(inner net.Listener, proxy string) {
	l.Listener, l.proxy = inner, proxy
}
