package deployer

import (
	"context"
	"net"
	"time"

	"github.com/divisi-go/divisi/envelope/protos"
	"github.com/divisi-go/divisi/internal/place"
	"github.com/divisi-go/divisi/internal/replica"
	"github.com/divisi-go/divisi/internal/rollout"
)

// Launcher starts and holds processes. Its methods may wait, and are called on goroutines of their
// own.
type Launcher interface {
	// Listen opens a listener once, for all replicas; its address is "host:port". For a name that
	// is open it returns the address again.
	Listen(name, address string) (actual string, err error)

	replica.Launcher
}

// Succession is how processes outlive the deployer that has started them, and what it leaves to the next
// one: they dial whoever decides about them. Its methods may wait, as those of a [Launcher].
type Succession interface {
	// Running returns the processes of the application that a deployer before has started, in the order in
	// which their versions began. Versions of which nothing runs are forgotten.
	Running(context.Context) ([]Running, error)

	// Accept returns the connection of the next process that dials.
	Accept(context.Context) (net.Conn, error)

	// Epoch is the place of this deployer among those that have decided about the application.
	Epoch() uint64

	// Succeeded returns once another deployer decides about the application, with an error that says who
	// does, once everything has been killed with whatever held it, or once the context has ended.
	Succeeded(context.Context) error

	// Save keeps a version for the deployers that come later, which Load returns until Forget.
	Save(Spec) error
	Load(version string) (Spec, error)
	Forget(version string) error

	// KeepCertificate keeps what a process of a replica proves itself by that finds no deployer, until the
	// replica is dismissed. It is secret.
	KeepCertificate(replica.Launch, *protos.GetSelfCertificateReply) error

	// Failures returns the versions that have failed to replace another one, and SetFailures keeps them.
	Failures() (rollout.Failures, error)
	SetFailures(rollout.Failures) error
}

// Running is a process that was found running, or that waits for its next start.
type Running struct {
	replica.Process // Pid is 0 while it waits
	Replica         place.Replica
	Version         string
	LogKey          string
	Started         time.Time
	Restarts        int // of the replica so far
}
