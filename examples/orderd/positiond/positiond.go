// Package positiond is the component library of positiond, a service that keeps positions: how much is
// held of each instrument. Start starts it; whoever has the result reads positions in shared memory, and
// tells of moves at a socket.
package positiond

import (
	"context"
	"time"

	"github.com/divisi-go/divisi/system"
)

// Positiond is a positiond that runs.
type Positiond struct {
	Dir  system.Dir // has its shared memory and its socket
	Proc *system.Proc
}

// Start starts a positiond that keeps all that it has in a folder.
func Start(ctx context.Context, n *system.Nursery, h *system.Host, dir system.Dir) (*Positiond, error) {
	l, err := dir.Listen(ctx, n, socketName)
	if err != nil {
		return nil, err
	}
	proc, err := h.Ensure(ctx, n, system.Spec{
		Name: "positiond", Program: program, Dir: dir, Listeners: []*system.Listener{l},
		Ready: "notify", Alone: true, Policy: system.Policy{Intensity: 100, MaxBackoff: time.Second},
	})
	return &Positiond{dir, proc}, err
}

// Names in the folder that others know.
const (
	socketName = "socket"
	memoryName = "positions"
)
