package system

import (
	"context"
	"fmt"

	"github.com/divisi-go/divisi/artifact"
	"github.com/divisi-go/divisi/internal/artifact/supply"
)

// Installed is an artifact that a host has. It does not change. It stays there as long as this run of the program, or what was
// started from it, or as it is one of the last three versions of its name.
type Installed = supply.Installed

// Install has the host have an artifact, by the name that divisi artifact pack has written for it, as the current version of
// that. Every file is compared with its sum when it arrives, and each time that Install is called.
//
// A host that has it gets nothing. Else what the host lacks of it is sent: from those that this machine has installed, or from
// its archive in the folder [Program.Builds]. What is cut off goes on where it ended, until the context ends.
func (h *Host) Install(ctx context.Context, a artifact.Artifact) (*Installed, error) {
	i, err := h.supply.Install(ctx, a, h.below.Artifacts)
	if err != nil {
		return nil, fmt.Errorf("cannot install %s %s on %s: %w", a.Name, a.Version, h.name, err)
	}
	return i, nil
}

// Revert makes the version before the current one of a name the current one on the host, and returns it.
func (h *Host) Revert(ctx context.Context, name string) (*Installed, error) {
	i, err := h.supply.Revert(ctx, name, h.below.Artifacts)
	if err != nil {
		return nil, fmt.Errorf("cannot revert %s on %s: %w", name, h.name, err)
	}
	return i, nil
}
