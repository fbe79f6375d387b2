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

// The variables of a weavelet: those that have the descriptors of its pipes, and the one that has, in
// their place, the socket that it dials.
const (
	ToWeavelet = "ENVELOPE_TO_WEAVELET_FD"
	ToEnvelope = "WEAVELET_TO_ENVELOPE_FD"
	Envelope   = "DIVISI_ENVELOPE"

	// Boot has the path of a file with what a weavelet starts from that finds nobody at its socket.
	Boot = "DIVISI_BOOT"

	// Certificate has the descriptor of a file in memory with what it proves itself by then.
	Certificate = "DIVISI_CERTIFICATE_FD"
)

// UnixScheme begins the address of a socket in the variable Envelope; its path follows.
const UnixScheme = "unix://"

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

// variables are those of what a process inherits.
var variables = []string{ToWeavelet, ToEnvelope, Certificate, listenFDs, listenFDNames, listenPid}

// Files is what a parent has left open for this process.
type Files struct {
	In, Out  *os.File // the pipes of an envelope; nil if there is none
	Envelope string   // the path of the socket where envelopes are dialled; "" if there is none
	Boot     string   // the path of a boot record; "" if there is none

	Certificate *os.File // what belongs to that with mutual TLS; nil if there is none
	Sockets     *Sockets
}

// Descriptor is what a parent has left open for this process, whatever it is.
type Descriptor struct {
	Name string // by which the parent calls it; may be empty
	FD   int    // not inherited by children of this process
}

// parent has what the parent left open: Take and Listening hand it out.
var parent = sync.OnceValues(takeOver)

// envelopeTaken is set once somebody has the pipes, or the socket in their place.
var envelopeTaken atomic.Bool

// Take takes over what the parent has left open, so that children of this process inherit none of it:
// they must not keep the pipes open. It happens once in a process. Who asks later, as Listening does,
// gets no envelope, and the sockets that nobody has claimed.
func Take() (Files, error) {
	files, err := parent()
	if envelopeTaken.Swap(true) {
		files.In, files.Out, files.Certificate = nil, nil, nil
		files.Envelope, files.Boot = "", ""
	}
	return files, err
}

// Listening returns the sockets alone. It leaves the pipes to Take.
func Listening() (*Sockets, error) {
	files, err := parent()
	return files.Sockets, err
}

// Deployed reports whether a deployer has started this process, and nobody has taken its pipes or its
// socket yet.
func Deployed() bool { return piped() || os.Getenv(Envelope) != "" }

func piped() bool { return os.Getenv(ToWeavelet) != "" || os.Getenv(ToEnvelope) != "" }

// Environment returns the environment of a child: env without what concerns this process only, and
// with the numbers of what the child inherits. These are sockets with the given names, from
// FirstSocket on, and after them a file for each variable in files. A child with pipes dials no socket.
func Environment(env, sockets, files []string) []string {
	child := slices.DeleteFunc(slices.Clone(env), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return slices.Contains(variables, name) || name == notifySocket || slices.Contains(files, name) ||
			(name == Envelope || name == Boot) && slices.Contains(files, ToWeavelet)
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
	for _, variable := range append([]string{Envelope, Boot}, variables...) {
		os.Unsetenv(variable)
	}
}
