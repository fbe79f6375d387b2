package keeper

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// StateDir returns the folder for what outlives processes: that of DIVISI_HOME, else a folder
// divisi in that of XDG_STATE_HOME, else in ~/.local/state. It is made if it does not exist.
func StateDir() (string, error) {
	dir := os.Getenv("DIVISI_HOME")
	if dir == "" {
		base := os.Getenv("XDG_STATE_HOME")
		if base == "" {
			home, err := os.UserHomeDir()
			if err != nil {
				return "", errors.New("no folder for state: set DIVISI_HOME")
			}
			base = filepath.Join(home, ".local", "state")
		}
		dir = filepath.Join(base, "divisi")
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	return dir, privateDir(dir)
}

const (
	maxSocketPath = 103 // of macOS; Linux has four more
	socketRoom    = 50  // for the name of a socket in the folder
)

// RuntimeDir returns the folder for the sockets that belong to a state folder, whose own path may
// be too long for them. It is made if it does not exist.
func RuntimeDir(stateDir string) (string, error) {
	sum := sha256.Sum256([]byte(stateDir))
	hash := hex.EncodeToString(sum[:6])
	base := os.Getenv("XDG_RUNTIME_DIR")
	if filepath.IsAbs(base) { // as its specification says, another is ignored
		base = filepath.Join(base, "divisi")
	} else {
		base = fmt.Sprintf("/tmp/divisi-%d", os.Getuid())
	}
	dir := filepath.Join(base, hash)
	if len(dir)+socketRoom > maxSocketPath {
		return "", fmt.Errorf("%s is too long for sockets in it: set XDG_RUNTIME_DIR to a shorter path", dir)
	}
	if err := privateDir(base); err != nil {
		return "", err
	}
	return dir, privateDir(dir)
}
