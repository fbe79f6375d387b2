package replica

import (
	"io"
	"os"
	"time"

	"github.com/divisi-go/divisi/internal/control"
	"github.com/divisi-go/divisi/internal/lifecycle"
	"github.com/divisi-go/divisi/internal/place"
)

// Launch is a process to start.
type Launch struct {
	Name    string        // within the application, such as "cart-0"; during an upgrade two processes have it
	Server  string        // the full name, such as "cart-0@/shop"
	Replica place.Replica // which it is
	Version string        // of the application
	Binary  string
	Arg0    string // default Binary
	Args    []string
	Env     []string         // in addition to what the launcher gives every process
	Sockets []string         // names of listeners to inherit, by the convention of LISTEN_FDS
	LogKey  string           // begins the lines on its standard error that are entries of its log
	Policy  lifecycle.Policy // by which it is restarted while there is no deployer
	Boot    string           // the file that it starts from then; "" for none

	// Certified has it inherit the certificate that was kept for it.
	Certified bool
}

// Process is a process that was started.
type Process struct {
	Pid    int
	In     io.WriteCloser // to the weavelet; nil if it dials
	Out    io.ReadCloser  // from the weavelet
	Exited <-chan control.ExitStatus

	// Signal sends a signal to the process and its children. One that has ended is an error.
	Signal func(os.Signal) error

	// Dismiss says that nobody wants the process any more, which ends it if it has not ended, and that it is
	// not to be started again. It waits until that is so. It is nil if the launcher never starts one again.
	Dismiss func()

	// CPU returns how long the processors have worked for the process; nil if nobody knows.
	CPU func() (time.Duration, error)
}
