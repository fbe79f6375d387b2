package run

import (
	"fmt"

	"github.com/divisi-go/divisi/internal/artifact"
	"github.com/divisi-go/divisi/internal/home"
	"github.com/divisi-go/divisi/internal/program"
)

// openStore returns the programs of a state folder, without old ones that nobody needs.
func openStore(where home.Home, view View) (*artifact.Store, error) {
	if err := where.Make(); err != nil {
		return nil, err
	}
	programs := program.Store(where)
	cleanPrograms(programs, view)
	return programs, nil
}

// cleanPrograms removes programs that nobody needs: they only take space.
func cleanPrograms(programs *artifact.Store, view View) {
	if err := programs.Clean(); err != nil {
		view.Warn(fmt.Sprintf("old programs are not removed: %v", err))
	}
}
