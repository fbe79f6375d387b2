package home

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/divisi-go/divisi/internal/whole"
)

// Unit is the unit of systemd that runs the keeper of a home.
type Unit struct {
	Name    string `json:"name"`              // such as "divisi-keeper.service"; "" if there is none
	User    bool   `json:"user,omitempty"`    // of this user's own manager
	Runtime string `json:"runtime,omitempty"` // folder of sockets, whatever the environment of a client says
}

// Manager is the flag by which commands such as systemctl are about the unit's manager.
func (u Unit) Manager() string {
	if u.User {
		return "--user"
	}
	return "--system"
}

// Systemctl returns the command that asks the unit's manager for something.
func (u Unit) Systemctl(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "systemctl", append([]string{u.Manager()}, args...)...)
	cmd.WaitDelay = time.Second
	if os.Getenv("XDG_RUNTIME_DIR") == "" { // where it finds the user's manager
		cmd.Env = append(os.Environ(), fmt.Sprintf("XDG_RUNTIME_DIR=/run/user/%d", os.Getuid()))
	}
	return cmd
}

// UnitFile returns the file that tells of the unit.
func (h Home) UnitFile() string { return filepath.Join(h.Dir, keeperStem, "unit.json") }

// Unit returns the unit that runs the keeper, as [Home.SetUnit] has left it.
func (h Home) Unit() (Unit, error) {
	text, err := os.ReadFile(h.UnitFile())
	if errors.Is(err, fs.ErrNotExist) {
		return Unit{}, nil
	}
	var u Unit
	if err == nil {
		err = json.Unmarshal(text, &u)
	}
	if err == nil && (u.Name == "" || !filepath.IsAbs(u.Runtime)) {
		err = errors.New("it names no unit, or no folder for sockets")
	}
	if err != nil {
		return Unit{}, fmt.Errorf("cannot read %s: %w: remove it, and use divisi keeper install again", h.UnitFile(), err)
	}
	return u, nil
}

// SetUnit leaves word of the unit that runs the keeper from now on. From then on its folder of sockets is
// that of the home.
func (h Home) SetUnit(u Unit) error {
	text, err := json.Marshal(u)
	if err != nil {
		return err
	}
	if err := errors.Join(h.Make(), os.MkdirAll(filepath.Dir(h.UnitFile()), 0o700)); err != nil {
		return err
	}
	return whole.Write(h.UnitFile(), append(text, '\n'), 0o600)
}

// ForgetUnit takes that back.
func (h Home) ForgetUnit() error {
	err := os.Remove(h.UnitFile())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
