// Package exampled is the component library of exampled, a program in C with a library of its own. Hosts need neither.
package exampled

import (
	"context"

	"github.com/divisi-go/divisi/system"
)

// Start starts exampled on a host.
func Start(ctx context.Context, n *system.Nursery, h *system.Host) (*system.Proc, error) {
	e, err := h.Install(ctx, Exampled)
	if err != nil {
		return nil, err
	}
	return h.Ensure(ctx, n, system.Spec{
		Name: "exampled", Program: e.Program, Args: e.Args("on", h.Name()), Ready: "log:from its library on",
	})
}
