// Package home says where everything is: the state folder, for what outlives processes, and the
// runtime folder, for the sockets of those that run. No other package makes paths in them.
//
//	DIVISI_HOME/
//	  layout                        the number of this arrangement
//	  domains/shop/lock             held by whoever runs the application shop, or is about to
//	  domains/shop/token            what opens its live page
//	  domains/shop/journal.ndjson   starts and ends of its processes
//	  domains/shop/failures.json    versions that have failed to replace another one
//	  domains/shop/boot/            what its replicas start from without a deployer
//	  domains/shop/desk/            what its operator was asked, and has said
//	  domains/shop/data/            what its programs keep there themselves
//	  domains/shop/versions/        a record of each version that has processes
//	  domains/shop/ensemble/        its revisions, if it is an ensemble
//	  config/shop/cart-0.toml       the configuration of its server cart-0@/shop, if it is an ensemble
//	  logs/shop/cart-0.log          what its replica cart-0@/shop has said
//	  token                         what opens the live page of all that runs
//	  cas/                          programs and artifacts, by their content
//	  keeper/lock                   held by the keeper
//	  keeper/journal.ndjson         what it holds, and how what it held has ended
//	  keeper/keeper.log             what it has to say itself
//	  keeper/unit.json              the unit of systemd that runs it
//
//	RUNTIME/
//	  shop.sock                     the door of shop: its control API
//	  shop.d/                       the sockets on which its replicas are called, and the one that they dial
//	  keeper.sock                   the door of the keeper
//	  keeper.d/                     the sockets on which servers tell it how they are
//	  keeper.ndjson                 its journal, while the disk of the state folder takes nothing
//	  agents/                       those of the agents of programs on other hosts, by their processes
//
//	XDG_CACHE_HOME/divisi/
//	  servlets/                     servlets of sites, compiled for this machine
//
// Looking makes and changes nothing. What is made belongs to this user alone; the permissions of
// what others have made are left as they are.
package home

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/divisi-go/divisi/internal/whole"
)

// layout is the number of the arrangement that this package knows.
const layout = "1"

// Home is the pair of folders of one user's applications.
type Home struct {
	Dir     string // state
	Runtime string // sockets
}

// Find returns the folders that the environment names. The state folder is that of DIVISI_HOME,
// else divisi in that of XDG_STATE_HOME, else in ~/.local/state. The runtime folder belongs to the
// state folder, whose own path may be too long for sockets: it is in XDG_RUNTIME_DIR, else in /tmp,
// and stays where it was when a unit was made for the keeper. Neither needs to exist; folders that cannot be used are an error.
func Find() (Home, error) {
	dir, err := stateDir()
	if err != nil {
		return Home{}, err
	}
	return At(dir)
}

// At is Find for a state folder that is known.
func At(dir string) (Home, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return Home{}, err
	}
	h := Home{Dir: resolve(dir)}
	if err := h.checkState(); err != nil {
		return Home{}, err
	}
	unit, err := h.Unit()
	if err != nil {
		return Home{}, err
	}
	h.Runtime = unit.Runtime
	if h.Runtime == "" {
		if h.Runtime, err = runtimeDir(h.Dir); err != nil {
			return Home{}, err
		}
	}
	return h, h.check()
}

func stateDir() (string, error) {
	dir := os.Getenv("DIVISI_HOME")
	if dir == "" {
		base := os.Getenv("XDG_STATE_HOME")
		if base == "" {
			user, err := os.UserHomeDir()
			if err != nil {
				return "", errors.New("no folder for state: set DIVISI_HOME")
			}
			base = filepath.Join(user, ".local", "state")
		}
		dir = filepath.Join(base, "divisi")
	}
	return dir, nil
}

// resolve follows the symbolic links of a path as far as it exists, so that a folder has one name
// however it is reached.
func resolve(path string) string {
	rest := ""
	for dir := path; ; dir = filepath.Dir(dir) {
		if real, err := filepath.EvalSymlinks(dir); err == nil {
			return filepath.Join(real, rest)
		}
		if dir == filepath.Dir(dir) {
			return path
		}
		rest = filepath.Join(filepath.Base(dir), rest)
	}
}

const (
	maxSocketPath = 103 // of macOS; Linux has four more
	socketRoom    = 50  // for what is in the runtime folder
)

func runtimeDir(state string) (string, error) {
	sum := sha256.Sum256([]byte(state))
	base := os.Getenv("XDG_RUNTIME_DIR")
	if filepath.IsAbs(base) { // as its specification says, another is ignored
		base = filepath.Join(base, "divisi")
	} else {
		base = fmt.Sprintf("/tmp/divisi-%d", os.Getuid())
	}

	dir := filepath.Join(base, hex.EncodeToString(sum[:6]))
	if len(dir)+socketRoom > maxSocketPath {
		return "", fmt.Errorf("%s is too long for sockets in it: set XDG_RUNTIME_DIR to a shorter path", dir)
	}
	return dir, nil
}

// check says why what exists of the folders cannot be used.
func (h Home) check() error {
	if err := h.checkState(); err != nil {
		return err
	}
	for _, dir := range []string{filepath.Dir(h.Runtime), h.Runtime} {
		if err := checkFolder(dir, "XDG_RUNTIME_DIR", 0o077); err != nil {
			return err
		}
	}
	return h.checkLayout()
}

// checkState checks the state folder. Everything in it is private by itself, as long as nobody can
// exchange it.
func (h Home) checkState() error { return checkFolder(h.Dir, "DIVISI_HOME", 0o022) }

// checkFolder checks that a folder is this user's own and gives others none of the permissions
// that are forbidden, or that nothing is there.
func checkFolder(dir, variable string, forbidden fs.FileMode) error {
	info, err := os.Lstat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	wrong := ""
	switch mode := info.Mode(); {
	case mode.Type() == fs.ModeSymlink:
		wrong = "is a symbolic link, which may lead anywhere: remove it"
	case !info.IsDir():
		wrong = "is not a folder: remove it"
	case !isOwn(info):
		wrong = "belongs to another user: remove it"
	case mode.Perm()&forbidden != 0:
		wrong = fmt.Sprintf("is open to other users: chmod %o %s", mode.Perm()&^forbidden, dir)
	default:
		return nil
	}
	return fmt.Errorf("%s %s, or set %s to a folder of your own", dir, wrong, variable)
}

func (h Home) checkLayout() error {
	text, err := os.ReadFile(h.layoutFile())
	if errors.Is(err, fs.ErrNotExist) {
		old, _ := filepath.Glob(filepath.Join(h.Dir, "apps", "*", "journal.ndjson"))
		if len(old) > 0 {
			return fmt.Errorf("%s was made by an earlier divisi: stop what that one runs, and remove "+
				"%s (the logs in it are plain files), or set DIVISI_HOME to another folder",
				h.Dir, filepath.Join(h.Dir, "apps"))
		}
		return nil
	}
	if err != nil {
		return err
	}
	if got := strings.TrimSpace(string(text)); got != layout {
		return fmt.Errorf("%s has layout %.20q, and this divisi knows layout %s: use the divisi that "+
			"made it, or set DIVISI_HOME to another folder", h.Dir, got, layout)
	}
	return nil
}

// Logs returns the folder of the logs of all domains.
func (h Home) Logs() string { return filepath.Join(h.Dir, "logs") }

// Token returns the file of what opens the live page of all that runs.
func (h Home) Token() string { return filepath.Join(h.Dir, "token") }

func (h Home) layoutFile() string { return filepath.Join(h.Dir, "layout") }

// Make makes the state folder, if it is not there. Others may pass it, for programs that are kept there run as other users
// as well; what is in it is private by itself.
func (h Home) Make() error {
	if err := os.MkdirAll(h.Dir, 0o711); err != nil {
		return fmt.Errorf("cannot make the state folder: %w", err)
	}
	if err := h.check(); err != nil {
		return err
	}
	if _, err := os.Stat(h.layoutFile()); err == nil {
		return nil
	}

	return whole.Write(h.layoutFile(), []byte(layout+"\n"), 0o600)
}

// Agent returns the socket of the agent that is a process.
func (h Home) Agent(pid int) string { return filepath.Join(h.Runtime, "agents", strconv.Itoa(pid)) }

// CAS returns the folder of what is kept by its content. Whoever keeps something makes it.
func (h Home) CAS() string { return filepath.Join(h.Dir, "cas") }

// Servlets returns the folder of compiled servlets, and makes it. It belongs to the user and to no state folder, for servers
// do not know theirs: it is in that of XDG_CACHE_HOME, else in ~/.cache. What is in it is executed, so it is an error if
// anybody else could exchange it, and also if the user has no folder.
func Servlets() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	_, err = os.Stat(filepath.Dir(cache))
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "divisi", "servlets")
	err = os.MkdirAll(dir, 0o700)
	if err != nil {
		return "", err
	}
	for _, d := range []string{filepath.Dir(cache), cache, filepath.Dir(dir), dir} {
		err = errors.Join(err, checkFolder(d, "XDG_CACHE_HOME", 0o022))
	}
	return dir, err
}
