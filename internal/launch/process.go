// Package launch starts the replicas of applications on this machine.
package launch

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/divisi-go/divisi/internal/control"
	"github.com/divisi-go/divisi/internal/deployer"
	"github.com/divisi-go/divisi/internal/inherit"
	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/keeper/hold"
	"github.com/divisi-go/divisi/internal/proc"
)

// Keeper is what holds the processes: a session of one.
type Keeper interface {
	Holder() keeper.Holder
	Listen(context.Context, keeper.Socket) (keeper.Socket, error)
	Start(context.Context, keeper.Spec) (keeper.Proc, error)
	Signal(context.Context, keeper.ID, syscall.Signal) error
	Wait(context.Context, keeper.ID) (keeper.Exit, error)
}

var _ Keeper = (*hold.Session)(nil)

// Launcher starts processes with a keeper, in the domain that it has claimed there. They have the environment of this process.
// It implements deployer.Launcher.
type Launcher struct {
	keeper Keeper
	domain string
}

// NewLauncher returns a launcher whose processes the keeper holds.
func NewLauncher(k Keeper) *Launcher { return &Launcher{k, k.Holder().Domain} }

// Listen opens a listener once for all replicas.
func (l *Launcher) Listen(name, address string) (string, error) {
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

// Launch starts a replica with the pipes of the envelope protocol.
func (l *Launcher) Launch(launch deployer.Launch) (deployer.Process, error) {
	theirIn, toWeavelet, err := os.Pipe()
	if err != nil {
		return deployer.Process{}, err
	}
	fromWeavelet, theirOut, err := os.Pipe()
	if err != nil {
		return deployer.Process{}, errors.Join(err, theirIn.Close(), toWeavelet.Close())
	}
	var sockets []keeper.Inherit
	for _, name := range launch.Sockets {
		sockets = append(sockets, keeper.Inherit{Key: name})
	}
	dir, err := os.Getwd()
	if err != nil {
		return deployer.Process{}, errors.Join(err, theirIn.Close(), theirOut.Close(), toWeavelet.Close(), fromWeavelet.Close())
	}
	p, err := l.keeper.Start(context.Background(), keeper.Spec{
		Domain:  l.domain,
		Name:    launch.Name,
		Beside:  true, // a replica of the next version
		LogKey:  launch.LogKey,
		Path:    launch.Binary,
		Arg0:    launch.Arg0,
		Args:    launch.Args,
		Env:     environment(os.Environ(), launch.Env),
		Dir:     dir,
		Sockets: sockets,
		Files:   []keeper.File{{Var: inherit.ToWeavelet, File: theirIn}, {Var: inherit.ToEnvelope, File: theirOut}},
	})
	if err != nil {
		return deployer.Process{}, errors.Join(err, toWeavelet.Close(), fromWeavelet.Close())
	}
	exited := make(chan control.ExitStatus, 1)
	go func() {
		exit, err := l.keeper.Wait(context.Background(), p.ID)
		status := control.ExitStatus{Code: exit.Code, Signal: exit.Signal, Time: exit.Time, Text: exit.String()}
		if err != nil {
			status = control.ExitStatus{Code: -1, Time: time.Now(), Text: err.Error()}
		}
		exited <- status
	}()

	return deployer.Process{
		Pid: p.Pid, In: toWeavelet, Out: fromWeavelet, Exited: exited,
		Signal: func(s os.Signal) error {
			number, ok := s.(syscall.Signal)
			if !ok {
				return fmt.Errorf("cannot send %v", s)
			}
			return l.keeper.Signal(context.Background(), p.ID, number)
		},
		CPU: func() (time.Duration, error) { return proc.CPUTime(p.Pid) },
	}, nil
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
