// Package launch starts the replicas of applications on this machine.
package launch

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/divisi-go/divisi/internal/control"
	"github.com/divisi-go/divisi/internal/inherit"
	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/keeper/hold"
	"github.com/divisi-go/divisi/internal/lifecycle"
	"github.com/divisi-go/divisi/internal/proc"
	"github.com/divisi-go/divisi/internal/replica"
	"github.com/divisi-go/divisi/internal/server"
)

// Keeper is what holds the processes: a session of one.
type Keeper interface {
	Holder() keeper.Holder
	Listen(context.Context, keeper.Socket) (keeper.Socket, error)
	Start(context.Context, keeper.Spec) (keeper.Proc, error)
	Signal(context.Context, keeper.ID, syscall.Signal) error
	Stop(context.Context, keeper.ID) (keeper.Exit, error)
	Put(ctx context.Context, domain, slot string, f *os.File) error
	Wait(context.Context, keeper.ID) (keeper.Exit, error)
}

var _ Keeper = (*hold.Session)(nil)

// Launcher starts processes with a keeper, in the domain that it has claimed there. They have the folder and
// the environment of this process, or those of another one. It implements [deployer.Launcher].
type Launcher struct {
	keeper Keeper
	domain string
	socket string   // that the processes dial; "" if they have pipes
	stays  bool     // the processes outlive the claim
	dir    string   // "" for that of this process
	env    []string // that processes have besides their own; nil for that of this process

	given map[string]keeper.Socket // by the name of the listener
}

// NewLauncher returns a launcher whose processes the keeper holds. They have pipes, and end with the claim.
func NewLauncher(k Keeper) *Launcher { return &Launcher{keeper: k, domain: k.Holder().Domain} }

// StartLike has processes start in the folder and the environment of another one.
func (l *Launcher) StartLike(other keeper.Spec) { l.dir, l.env = other.Dir, other.Env }

// Give has the replicas inherit sockets that somebody else has opened at the keeper, by the names of listeners.
func (l *Launcher) Give(sockets map[string]keeper.Socket) { l.given = sockets }

// Listen opens a listener once for all replicas, unless it was given.
func (l *Launcher) Listen(name, address string) (string, error) {
	if given, ok := l.given[name]; ok {
		return given.Actual, nil
	}
	network := "tcp"
	if path, ok := strings.CutPrefix(address, "unix://"); ok {
		network, address = "unix", path
	}
	socket, err := l.keeper.Listen(context.Background(), keeper.Socket{
		Domain: l.domain, Key: name, Network: network, Address: address,
	})
	if err != nil {
		if errors.Is(err, syscall.EADDRINUSE) {
			var op *net.OpError
			if errors.As(err, &op) {
				err = op.Err
			}
			return "", fmt.Errorf("another program uses it: %w", err)
		}
		return "", err
	}
	return socket.Actual, nil
}

// The labels of servers that are replicas, and outlive whoever has started them.
const (
	LabelApp     = server.LabelApp
	LabelVersion = "version"
	LabelGroup   = "group"
	LabelReplica = "replica" // its number
	labelLogKey  = "log_key"
)

// Launch starts a replica: with the pipes of the envelope protocol, or with the address of the socket that
// it is to dial.
func (l *Launcher) Launch(launch replica.Launch) (replica.Process, error) {
	spec, err := l.spec(launch)
	if err != nil {
		return replica.Process{}, err
	}
	var ours pipes
	if l.socket == "" {
		if ours, spec.Files, err = openPipes(); err != nil {
			return replica.Process{}, err
		}
	}

	p, err := l.keeper.Start(context.Background(), spec)
	if err != nil {
		return replica.Process{}, errors.Join(err, ours.close())
	}
	process := l.process(p)
	if ours.in != nil {
		process.In, process.Out = ours.in, ours.out
	}
	return process, nil
}

// certificateOf is the slot with the certificate of a replica of a version.
func certificateOf(replica, version string) string { return "certificate/" + version + "/" + replica }

// spec is how a replica is asked for.
func (l *Launcher) spec(launch replica.Launch) (keeper.Spec, error) {
	dir, env := l.dir, l.env
	if dir == "" {
		var err error
		if dir, err = os.Getwd(); err != nil {
			return keeper.Spec{}, err
		}
		env = os.Environ()
	}
	own := slices.Clone(launch.Env)
	if l.socket != "" {
		own = append(own, inherit.Envelope+"="+inherit.UnixScheme+l.socket)
	}
	if l.socket != "" && launch.Boot != "" {
		own = append(own, inherit.Boot+"="+launch.Boot)
	}

	spec := keeper.Spec{
		Domain: l.domain,
		Name:   launch.Name,
		Beside: true, // a replica of the next version
		LogKey: launch.LogKey,
		Path:   launch.Binary,
		Arg0:   launch.Arg0,
		Args:   launch.Args,
		Env:    environment(env, own),
		Dir:    dir,
		Grace:  launch.Policy.WithDefaults().StopTime,
	}
	for _, name := range launch.Sockets {
		socket := keeper.Inherit{Key: name}
		if given, ok := l.given[name]; ok {
			socket = keeper.Inherit{Domain: given.Domain, Key: given.Key, As: name}
		}
		spec.Sockets = append(spec.Sockets, socket)
	}
	if !l.stays {
		return spec, nil
	}

	if launch.Certified {
		spec.Secrets = []keeper.Inherit{{Key: certificateOf(launch.Name, launch.Version), As: inherit.Certificate}}
	}
	spec.Digest = launch.Version
	spec.Labels = map[string]string{
		LabelApp:     strings.TrimPrefix(l.domain, "/"),
		LabelVersion: launch.Version,
		LabelGroup:   launch.Replica.Group,
		LabelReplica: strconv.Itoa(launch.Replica.Number),
		labelLogKey:  launch.LogKey,
	}
	policy := launch.Policy
	if policy.Restart != lifecycle.Temporary {
		// A program that has returned tells its deployer, and waits for one. Any other end is to be mended.
		policy.Restart = lifecycle.Permanent
	}
	spec.Policy, spec.Yields = &policy, true
	return spec, nil
}

// pipes are the deployer's ends.
type pipes struct{ in, out *os.File }

func (p pipes) close() error {
	if p.in == nil {
		return nil
	}
	return errors.Join(p.in.Close(), p.out.Close())
}

// openPipes returns both ends of the pipes of the envelope protocol.
func openPipes() (ours pipes, theirs []keeper.File, err error) {
	theirIn, in, err := os.Pipe()
	if err != nil {
		return pipes{}, nil, err
	}
	out, theirOut, err := os.Pipe()
	if err != nil {
		return pipes{}, nil, errors.Join(err, theirIn.Close(), in.Close())
	}
	return pipes{in, out}, []keeper.File{{Var: inherit.ToWeavelet, File: theirIn}, {Var: inherit.ToEnvelope, File: theirOut}}, nil
}

// process is a process of the keeper, as a deployer sees it.
func (l *Launcher) process(p keeper.Proc) replica.Process {
	exited := make(chan control.ExitStatus, 1)
	go func() {
		exit, err := l.keeper.Wait(context.Background(), p.ID)
		status := ExitStatus(exit)
		if err != nil {
			status = control.ExitStatus{Code: -1, Time: time.Now(), Text: err.Error()}
		}
		exited <- status
	}()

	process := replica.Process{
		Pid: p.Pid, Exited: exited,
		Signal: func(s os.Signal) error {
			number, ok := s.(syscall.Signal)
			if !ok {
				return fmt.Errorf("cannot send %v", s)
			}
			return l.keeper.Signal(context.Background(), p.ID, number)
		},
		CPU: func() (time.Duration, error) { return proc.CPUTime(p.Pid) },
	}
	if l.stays {
		process.Dismiss = func() {
			// One that is not known any more has been dismissed.
			_, _ = l.keeper.Stop(context.Background(), p.ID)
			_ = l.keeper.Put(context.Background(), l.domain, certificateOf(p.Name, p.Digest), nil)
		}
	}
	return process
}

// ExitStatus is how a process has ended, as it is shown.
func ExitStatus(e keeper.Exit) control.ExitStatus {
	return control.ExitStatus{Code: e.Code, Signal: e.Signal, Time: e.Time, Text: e.String()}
}

// environment returns inherited variables and more, which go before them. Every variable is there
// once: of several, some programs take the first one, and others the last.
func environment(inherited, more []string) []string {
	var env []string
	seen := map[string]bool{}
	for _, list := range [][]string{more, inherited} {
		for _, v := range slices.Backward(list) {
			if name, _, ok := strings.Cut(v, "="); ok && !seen[name] {
				seen[name] = true
				env = append(env, v)
			}
		}
	}
	return env
}
