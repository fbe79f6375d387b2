package serve

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/divisi-go/divisi/internal/drain"
	"github.com/divisi-go/divisi/internal/inherit"
)

// Listener returns the listening socket that the parent of this process calls by the given name, and if
// there is none, a new one at address: "host:port", or "unix:///path".
//
// A parent hands sockets over in the way of systemd. One that is called web.socket, as systemd calls
// the socket of such a unit if that says no FileDescriptorName, has the name web, too. If there is one
// socket only, and it has no name, or one that ends in ".socket", it is that of the name that is asked
// for first. Each is handed out once.
//
// A socket file that its last owner has left behind, and on which nobody listens, is replaced.
func Listener(name, address string) (net.Listener, error) {
	inherited, err := inherit.Listening()
	if err != nil {
		return nil, fmt.Errorf("cannot open the listener %s: %w", name, err)
	}

	l, ok := inherited.ClaimFirst(name)
	if !ok {
		if l, err = listen(address); err != nil {
			return nil, fmt.Errorf("cannot open the listener %s, which this process has not inherited: %w", name, err)
		}
	}
	return opened.add(drain.New(l, nil)), nil
}

// listen opens a socket.
func listen(address string) (net.Listener, error) {
	path, unix := strings.CutPrefix(address, "unix://")
	switch {
	case unix && !strings.HasPrefix(path, "/"), !unix && strings.Contains(address, "/"), address == "":
		return nil, fmt.Errorf("the address %q is none of host:port and unix:///path", address)
	case !unix:
		return listening.Listen(context.Background(), "tcp", address)
	}

	l, err := net.Listen("unix", path)
	if errors.Is(err, syscall.EADDRINUSE) && abandoned(path) {
		os.Remove(path) // if it cannot be, the second attempt says why
		l, err = net.Listen("unix", path)
	}
	return l, err
}

// abandoned reports whether a path is that of a socket on which nobody listens.
func abandoned(path string) bool {
	info, err := os.Lstat(path)
	if err != nil || info.Mode().Type() != os.ModeSocket {
		return false
	}
	c, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		c.Close()
	}
	return errors.Is(err, syscall.ECONNREFUSED)
}

// opened are the listeners of this process.
var opened listeners

type listeners struct {
	mu   sync.Mutex // guards list
	list []*drain.Listener
}

func (o *listeners) add(l *drain.Listener) *drain.Listener {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.list = append(o.list, l)
	return l
}

// drains returns the listener to drain in order to end l: itself, or what it wraps, as that of
// [crypto/tls.NewListener] does, or one that wraps it. The last is returned as what to serve, too.
func (o *listeners) drains(l net.Listener) (served net.Listener, drained *drain.Listener) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, ours := range o.list {
		// Whoever wraps a listener hands its address on, which is a pointer.
		if ours == l || ours.Addr() == l.Addr() {
			return l, ours
		}
	}
	drained = drain.New(l, nil)
	return drained, drained
}
