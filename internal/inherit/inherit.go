// Package inherit is how open descriptors come from a process to its child: the pipes to an envelope,
// by the variables of Service Weaver, and listening sockets, by those of systemd. It has both sides.
package inherit

import (
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
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
	Sockets *Sockets
}

// Descriptor is what a parent has left open for this process, whatever it is.
type Descriptor struct {
	Name string // by which the parent calls it; may be empty
	FD   int    // not inherited by children of this process
}

// parent has what the parent left open: Take and Listening hand it out.
var parent = sync.OnceValues(takeOver)

// pipesTaken is set once somebody has the pipes.
var pipesTaken atomic.Bool

// Take takes over what the parent has left open, so that children of this process inherit none of it:
// they must not keep the pipes open. It happens once in a process. Who asks later, as Listening does,
// gets no pipes, and the sockets that nobody has claimed.
func Take() (Files, error) {
	files, err := parent()
	if pipesTaken.Swap(true) {
		files.In, files.Out = nil, nil
	}
	return files, err
}

// Listening returns the sockets alone. It leaves the pipes to Take.
func Listening() (*Sockets, error) {
	files, err := parent()
	return files.Sockets, err
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
