// Package keeper holds what must outlive decisions: processes, the listening sockets they share,
// their logs, and the records of how they ended. It knows nothing of what they are for.
//
// A keeper works in the process that opens it; its calls take and return plain data and open
// files, so that it can be a process of its own. While it is not, its death is the end of what it
// holds: processes that were given a pipe of the keeper's process see its end and are expected to
// leave. They are not killed with it. Linux could (PR_SET_PDEATHSIG), but it takes the end of the
// thread that started a process for that of the parent, and threads of a Go program come and go.
//
// There are keepers on Linux and macOS. Elsewhere everything fails with a clear error.
package keeper

import (
	"fmt"
	"os"
	"syscall"
	"time"
)

// Spec is a process to start.
type Spec struct {
	Name     string // also that of its log, which processes of one name share
	Node     string // who its output is from, in the log; default Name
	LogKey   string // by which lines of its output are known that are entries of a log; see logline.Own
	Path     string
	Arg0     string // what the process calls itself, as the system shows it; default Path
	Args     []string
	Env      []string   // all of it, but for descriptors (LISTEN_FDS and those of FileVars)
	Dir      string     // "" for this process's own
	Sockets  []string   // keys of sockets to inherit, from descriptor 3 on, named by LISTEN_FDNAMES
	Files    []*os.File // inherited after the sockets; closed here once the process has started
	FileVars []string   // for each file the variable that has its descriptor's number
}

// Exit is how a process ended.
type Exit struct {
	Code   int       `json:"code"` // -1 if a signal ended it, or if it is not known
	Signal string    `json:"signal,omitempty"`
	How    string    `json:"how"` // how that is known: "wait", or "unknown" if it is not
	Time   time.Time `json:"time"`
}

// String returns "exited with code 1", "was ended by the signal killed" or "ended in an unknown
// way".
func (e Exit) String() string {
	switch {
	case e.How == howUnknown:
		return "ended in an unknown way"
	case e.Signal != "":
		return "was ended by the signal " + e.Signal
	}
	return fmt.Sprintf("exited with code %d", e.Code)
}

// The values of Exit.How.
const (
	howWait    = "wait"
	howUnknown = "unknown"
)

// Process is a process that was started.
type Process struct {
	Name    string
	Pid     int
	Started time.Time
	Exited  <-chan Exit // has one element, then is closed

	// Lost returns how many lines of its log could not be written, as on a full disk. Processes that
	// share a log share the number.
	Lost func() int64

	// Signal sends a signal to the process and its children. One that has ended is an error,
	// os.ErrProcessDone.
	Signal func(syscall.Signal) error

	// CPU returns how long the processors have worked for the process, in steps of 10 ms. It is an
	// error where that is not known.
	CPU func() (time.Duration, error)
}

// ExitRecord is how a process of any keeper of a folder ended.
type ExitRecord struct {
	Name string
	Pid  int
	Exit Exit
}
