// Package estate is the domain of an application on this machine, in the hands of whoever decides about it:
// its folders and sockets, and what holds its processes. Processes may outlive who decides about them. Then
// everybody sees what runs there, and a command decides for a moment, for what only a deployer can do.
package estate

import (
	"errors"
	"io"
	"net"

	"github.com/divisi-go/divisi/internal/deployer"
	"github.com/divisi-go/divisi/internal/deployer/mtls"
	"github.com/divisi-go/divisi/internal/home"
)

// Estate is the domain of an application that this process decides about.
type Estate struct {
	home.Domain
	Stays      bool // the processes outlive this one
	Launcher   deployer.Launcher
	Succession deployer.Succession // nil if the processes end with this one

	Vault mtls.Vault // of its keys; nil if they end with this one

	release func(over bool) error
	gate    io.Closer // keeps others from claiming the domain; nil when it is open
}

// Open lets others decide, after this process: the sockets of the domain are its own by now. A second call
// does nothing.
func (e *Estate) Open() {
	if e.gate != nil {
		e.gate.Close()
		e.gate = nil
	}
}

// Release has nobody decide about the domain any more. Over says that nothing runs there.
func (e *Estate) Release(over bool) error {
	defer e.Open()
	return e.release(over)
}

// BootDir returns the folder of what processes start from without a deployer, "" if they never do.
func (e *Estate) BootDir() string {
	if e.Succession == nil {
		return ""
	}
	return e.Boot
}

// ErrNothing is the error of deciding about an application of which nothing runs.
var ErrNothing = errors.New("nothing of it runs")

// answers reports whether somebody listens on a socket.
func answers(door string) bool {
	conn, err := net.Dial("unix", door)
	if err == nil {
		conn.Close()
	}
	return err == nil
}
