package record

import (
	"fmt"
	"path/filepath"

	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/keeper/claim"
	"github.com/divisi-go/divisi/internal/keeper/journal"
)

// Path returns the file of the journal of a keeper whose state is in a folder.
func Path(dir string) string { return filepath.Join(dir, "journal.ndjson") }

// Load returns what an earlier keeper has left in a folder, or beside it, where it went on with its journal while
// that in the folder could not be written.
func Load(dir string) (*Past, error) {
	past, err := load(Path(dir))
	if err != nil || past.Spare == "" {
		return past, err
	}
	spare, err := load(past.Spare)
	if err != nil || spare.State <= past.State {
		return past, err
	}
	return spare, nil
}

func load(path string) (*Past, error) {
	lines, err := journal.Read(path)
	if err != nil {
		return nil, err
	}
	p, err := Read(lines)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return p, nil
}

// Holds reports whether servers or sockets are left to the next keeper.
func (p *Past) Holds() bool { return len(p.Servers)+len(p.Sockets) > 0 }

// Decides returns what the journal has of a claim.
func Decides(c *claim.Claim) Entry {
	if c.State == claim.Over {
		return Entry{Event: Released, Holder: &c.Holder}
	}
	return Entry{Event: Claimed, Holder: &c.Holder, Ends: c.Ends}
}

// End returns what the journal has of the end of a process.
func End(r keeper.ExitRecord) Entry {
	return Entry{Event: Exited, ID: r.ID, Pid: r.Pid, Number: r.Number, Exit: &r.Exit, Token: r.Token}
}

// Want returns what the journal has of a server, but for its process. The environment and the arguments, in
// which people leave secrets, are there only if the keeper itself may have to start the server again.
// Run is its last start, 0 if it has had none.
func Want(born, run uint64, s *keeper.Spec) Entry {
	kept := *s
	if s.Policy == nil {
		kept.Env, kept.Args = nil, nil
	}
	id := s.ID()
	id.Run = run
	return Entry{Event: Wanted, Born: born, ID: id, Spec: &kept}
}
