package home

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Remove removes both folders with all that is in them, once the keeper has ended, and the folders around them that are
// empty then. A keeper that systemd starts is an error.
func (h Home) Remove(ctx context.Context) error {
	if _, err := os.Stat(h.layoutFile()); err != nil {
		return fmt.Errorf("%s is no state folder, and stays: %w", h.Dir, err)
	}
	unit, err := h.Unit()
	if err != nil {
		return err
	}
	if unit.Name != "" {
		return fmt.Errorf("systemd starts the keeper of %s as %s: divisi keeper uninstall there comes first", h.Dir, unit.Name)
	}
	lock, err := h.Keeper().Gate(ctx)
	if err != nil && !errors.Is(err, os.ErrNotExist) { // there never was one
		return err
	}
	defer lock.Close()

	if err := errors.Join(os.RemoveAll(h.Dir), os.RemoveAll(h.Runtime)); err != nil {
		return err
	}
	around := []string{filepath.Dir(h.Runtime)}
	if usual := filepath.Join(".local", "state", "divisi"); strings.HasSuffix(h.Dir, string(filepath.Separator)+usual) {
		around = append(around, filepath.Dir(h.Dir), filepath.Dir(filepath.Dir(h.Dir)))
	}
	for _, dir := range around {
		_ = os.Remove(dir) // which others may use
	}
	return nil
}
