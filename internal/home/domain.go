package home

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Domain is the part of a home that belongs to one domain, such as that of an application.
type Domain struct {
	Path     string // such as "/shop"
	State    string // folder of the lock and the journal
	Versions string // folder of the records of its versions, see package roster
	Logs     string // folder of logs
	Token    string // file of what opens the live page
	Door     string // socket of the control API
	Calls    string // folder of the sockets on which replicas are called, or the keeper is told how servers are
	Deployer string // socket in that folder which replicas dial
	Failures string // file of the versions that have failed lately
	Spare    string // of the keeper: its journal while the disk of the state folder fails
	Boot     string // folder of what replicas start from without a deployer
	Desk     string // folder of what concerns the operator of a program, see package operator
	Data     string // folder of the data of programs
	Ensemble string // folder of what an ensemble was to be, see divisi up
	Configs  string // folder of the configuration of the servers of an ensemble, each of which may run as a user of its own

	home Home
}

// ErrTaken is the error of claiming a domain that another process has.
var ErrTaken = errors.New("another process has it")

// Domain returns the part of a domain, such as "/shop".
func (h Home) Domain(path string) Domain {
	state := filepath.Join(h.domains(), filepath.FromSlash(path))
	stem := filepath.Join(h.Runtime, stem(path))
	return Domain{
		Path:     path,
		State:    state,
		Versions: filepath.Join(state, versions),
		Logs:     filepath.Join(h.Logs(), filepath.FromSlash(path)),
		Token:    filepath.Join(state, "token"),
		Door:     stem + doorSuffix,
		Calls:    stem + callsSuffix,
		Deployer: filepath.Join(stem+callsSuffix, "deployer"),
		Failures: filepath.Join(state, "failures.json"),
		Boot:     filepath.Join(state, "boot"),
		Desk:     filepath.Join(state, desk),
		Data:     filepath.Join(state, "data"),
		Ensemble: filepath.Join(state, ensemble),
		Configs:  filepath.Join(h.Dir, "config", filepath.FromSlash(path)),
		home:     h,
	}
}

const (
	versions = "versions"
	desk     = "desk"
	ensemble = "ensemble"
)

func (h Home) domains() string { return filepath.Join(h.Dir, "domains") }

// Domains returns the paths of the domains that may have records of versions.
func (h Home) Domains() ([]string, error) { return h.domainsWith(versions) }

// Desks returns the paths of the domains of programs, which have a folder for what concerns their operators.
func (h Home) Desks() ([]string, error) { return h.domainsWith(desk) }

// Ensembles returns the paths of the domains of ensembles.
func (h Home) Ensembles() ([]string, error) { return h.domainsWith(ensemble) }

// domainsWith returns the paths of the domains that have a folder.
func (h Home) domainsWith(folder string) (paths []string, err error) {
	err = filepath.WalkDir(h.domains(), func(path string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // it was removed meanwhile
		}
		if err == nil && e.IsDir() && e.Name() == folder {
			domain := strings.TrimPrefix(filepath.Dir(path), h.domains())
			paths = append(paths, cmp.Or(filepath.ToSlash(domain), "/"))
		}
		return err
	})
	return paths, err
}

// Keeper returns the part of the keeper. It is claimed as that of a domain is.
func (h Home) Keeper() Domain {
	return Domain{
		State: filepath.Join(h.Dir, keeperStem),
		Logs:  h.Logs(),
		Door:  filepath.Join(h.Runtime, keeperStem) + doorSuffix,
		Calls: filepath.Join(h.Runtime, keeperStem) + callsSuffix,
		Spare: filepath.Join(h.Runtime, keeperStem) + ".ndjson",
		home:  h,
	}
}

const (
	keeperStem = "keeper" // which no domain has

	doorSuffix  = ".sock"
	callsSuffix = ".d"

	maxStem = 29 // with the suffix of calls and a name of 17 bytes in the folder, socketRoom
)

// stem names a domain in the runtime folder: by its path, with "~" for the slashes between labels.
// Of one that is too long for that, or has the name of the keeper, a hash tells it from others.
func stem(path string) string {
	name := strings.ReplaceAll(strings.TrimPrefix(path, "/"), "/", "~")
	if len(name) <= maxStem && name != keeperStem {
		return name
	}
	sum := sha256.Sum256([]byte(path))
	hash := hex.EncodeToString(sum[:6])
	return name[:min(len(name), maxStem-len(hash)-2)] + "~~" + hash
}

// Make makes the folders of the domain.
func (d Domain) Make() error {
	if err := d.home.Make(); err != nil {
		return err
	}
	for _, dir := range []string{d.State, d.Boot, d.Logs} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	d.home.sweep()
	return d.enter()
}

// enter makes the folder of the domain's sockets.
func (d Domain) enter() error {
	// One who leaves at the same time may remove folders as soon as they are made, or found.
	var err error
	for range 100 {
		if err = os.MkdirAll(d.Calls, 0o700); !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrExist) {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("cannot make a folder for sockets: %w", err)
	}
	return d.home.check()
}

// Clear removes the domain's sockets, of which nobody may need any, and folders that are empty then.
func (d Domain) Clear() {
	os.Remove(d.Door)
	os.RemoveAll(d.Calls)
	d.home.tidy()
}

// tidy removes the runtime folder, if nobody else has anything in it.
func (h Home) tidy() {
	os.Remove(h.Runtime)
	os.Remove(filepath.Dir(h.Runtime))
}

// leftAge is how old a socket must be for nobody to be about to listen on it.
const leftAge = time.Minute

// sweep removes the parts of the runtime folder whose processes were killed.
func (h Home) sweep() {
	doors, _ := h.Doors()
	for _, door := range doors {
		info, err := os.Lstat(door)
		if err != nil || time.Since(info.ModTime()) < leftAge {
			continue
		}
		conn, err := net.Dial("unix", door)
		if err == nil {
			conn.Close()
		}
		if errors.Is(err, syscall.ECONNREFUSED) {
			os.Remove(door)
			sweepCalls(strings.TrimSuffix(door, doorSuffix) + callsSuffix)
		}
	}
}

// sweepCalls removes a folder of sockets if nobody listens on any of them: replicas may have outlived who
// has started them.
func sweepCalls(dir string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		conn, err := net.Dial("unix", filepath.Join(dir, e.Name()))
		if err == nil {
			conn.Close()
		}
		if !errors.Is(err, syscall.ECONNREFUSED) {
			return
		}
	}
	os.RemoveAll(dir)
}

// Doors returns the sockets of the control APIs of applications in the runtime folder; their
// processes may have been killed.
func (h Home) Doors() ([]string, error) {
	entries, err := os.ReadDir(h.Runtime)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var doors []string
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), doorSuffix) && e.Name() != keeperStem+doorSuffix {
			doors = append(doors, filepath.Join(h.Runtime, e.Name()))
		}
	}
	return doors, nil
}
