// Package inherit is how open descriptors come from a process to its child: the pipes to an envelope,
// by the variables of Service Weaver, and listening sockets, by those of systemd. It has both sides.
package inherit

import (
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
)

// The variables that have the descriptors of a weavelet's pipes.
const (
	ToWeavelet = "ENVELOPE_TO_WEAVELET_FD"
	ToEnvelope = "WEAVELET_TO_ENVELOPE_FD"
)

// The variables of systemd: for sockets, which start at descriptor FirstSocket, and where to say that
// a service is ready.
const (
	listenFDs     = "LISTEN_FDS"
	listenFDNames = "LISTEN_FDNAMES"
	listenPid     = "LISTEN_PID"
	notifySocket  = "NOTIFY_SOCKET"

	// FirstSocket is the descriptor of the first inherited socket; the others follow.
	FirstSocket = 3
)

// taken are the variables of what Take takes over.
var taken = []string{ToWeavelet, ToEnvelope, listenFDs, listenFDNames, listenPid}

// Files is what a parent has left open for this process.
type Files struct {
	In, Out *os.File // the pipes of an envelope; nil if there is none
	Sockets []Socket
}

// Socket is an inherited listening socket.
type Socket struct {
	Name     string // by which its parent calls it; may be empty
	Listener net.Listener
}

// Find returns the socket with a name. If only is set, the only socket is that of any name.
func (f Files) Find(name string, only bool) (net.Listener, bool) {
	at := slices.IndexFunc(f.Sockets, func(s Socket) bool { return s.Name == name })
	switch {
	case at >= 0:
		return f.Sockets[at].Listener, true
	case only && len(f.Sockets) == 1:
		return f.Sockets[0].Listener, true
	}
	return nil, false
}

// Deployed reports whether a deployer has started this process, and nobody has taken its pipes yet.
func Deployed() bool { return os.Getenv(ToWeavelet) != "" || os.Getenv(ToEnvelope) != "" }

// Environment returns the environment of a child: env without what concerns this process only, and
// with the numbers of what the child inherits. These are sockets with the given names, from
// FirstSocket on, and after them a file for each variable in files.
func Environment(env, sockets, files []string) []string {
	child := slices.DeleteFunc(slices.Clone(env), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return slices.Contains(taken, name) || name == notifySocket || slices.Contains(files, name)
	})
	if len(sockets) > 0 {
		child = append(child, listenFDs+"="+strconv.Itoa(len(sockets)),
			listenFDNames+"="+strings.Join(sockets, ":"))
	}
	for i, variable := range files {
		child = append(child, variable+"="+strconv.Itoa(FirstSocket+len(sockets)+i))
	}
	return child
}

// forget removes the variables from what children of this process would inherit.
func forget() {
	for _, variable := range taken {
		os.Unsetenv(variable)
	}
}
