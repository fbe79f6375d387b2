package inside

import (
	"os"
	"time"
)

// clockFile is the file that says by how much the clock of a host is wrong.
const clockFile = state + "/clock"

// setClock has the clock of this host be wrong. Nobody ever reads half of the file.
func setClock(offset time.Duration) error {
	next := clockFile + ".next"
	if err := os.WriteFile(next, []byte(offset.String()), 0o644); err != nil {
		return err
	}
	return os.Rename(next, clockFile)
}
