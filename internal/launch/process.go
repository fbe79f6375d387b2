// Package launch starts the replicas of applications on this machine.
package launch

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"

	"github.com/divisi-go/divisi/internal/control"
	"github.com/divisi-go/divisi/internal/deployer"
	"github.com/divisi-go/divisi/internal/inherit"
	"github.com/divisi-go/divisi/internal/keeper"
)

// Launcher starts processes with a keeper. They have the environment of this process. It
// implements deployer.Launcher.
type Launcher struct{ keeper *keeper.Keeper }

// NewLauncher returns a launcher whose processes the keeper holds.
func NewLauncher(k *keeper.Keeper) *Launcher { return &Launcher{k} }

// Listen opens a listener once for all replicas.
func (l *Launcher) Listen(name, address string) (string, error) {
	network := "tcp"
	if path, ok := strings.CutPrefix(address, "unix://"); ok {
		network, address = "unix", path
	}
	addr, err := l.keeper.Listen(name, network, address)
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
	return addr.String(), nil
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
	p, err := l.keeper.Start(keeper.Spec{
		Name:     launch.Name,
		Node:     launch.Server,
		LogKey:   launch.LogKey,
		Path:     launch.Binary,
		Arg0:     launch.Arg0,
		Args:     launch.Args,
		Env:      environment(os.Environ(), launch.Env),
		Sockets:  launch.Sockets,
		Files:    []*os.File{theirIn, theirOut},
		FileVars: []string{inherit.ToWeavelet, inherit.ToEnvelope},
	})
	if err != nil {
		return deployer.Process{}, errors.Join(err, toWeavelet.Close(), fromWeavelet.Close())
	}
	exited := make(chan control.ExitStatus, 1)
	go func() {
		exit := <-p.Exited
		exited <- control.ExitStatus{
			Code: exit.Code, Signal: exit.Signal, Time: exit.Time, Text: exit.String(),
		}
	}()

	return deployer.Process{
		Pid: p.Pid, In: toWeavelet, Out: fromWeavelet, Exited: exited,
		Signal: func(s os.Signal) error {
			number, ok := s.(syscall.Signal)
			if !ok {
				return fmt.Errorf("cannot send %v", s)
			}
			return p.Signal(number)
		},
		CPU: p.CPU,
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
