package inside

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/divisi-go/divisi/lab/protocol"
)

// state is the folder of a host that the lab itself writes: the table of names and the clock.
const state = "/run/divisi-lab"

// writeNames writes the table of names of a host.
func writeNames(names []string) error {
	var b strings.Builder
	fmt.Fprintln(&b, "127.0.0.1 localhost")
	for i, name := range names {
		fmt.Fprintln(&b, protocol.AddressText(i), name)
	}

	if err := os.MkdirAll(state, 0o755); err != nil {
		return err
	}
	table := filepath.Join(state, "hosts")
	if err := os.WriteFile(table, []byte(b.String()), 0o644); err != nil {
		return err
	}
	err := unix.Mount(table, "/etc/hosts", "", unix.MS_BIND, "")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cannot mount the table of names of a host: %w", err)
	}
	return nil
}
