package sandbox

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// format is the number of what a watcher is told, and of what a client says to the first process. A sandbox of another one
// is replaced.
const format = 1

// Paths in a sandbox.
const (
	State   = "/divisi" // the state folder, which outlives it
	runtime = "/run"
	hands   = runtime + "/handed" // of the sockets at which sockets are handed out
)

// Spec is what a sandbox is.
type Spec struct {
	Format  int      `json:"format"`
	Name    string   `json:"name"`            // of the host
	State   string   `json:"state"`           // folder of the machine that is the state folder
	Root    string   `json:"root,omitempty"`  // folder of the machine with all files; "" for those of the machine
	Hidden  []string `json:"hide,omitempty"`  // folders of the machine that are empty in the sandbox
	Mounts  []Mount  `json:"binds,omitempty"` // what else it sees of the machine
	Network string   `json:"network"`         // its own, or that of the host
}

// Mount is a folder or a file of the machine that a sandbox sees.
type Mount struct {
	From     string `json:"from"`
	To       string `json:"to"`
	Writable bool   `json:"writable,omitempty"`
}

// The networks.
const (
	OwnNetwork  = "own"
	HostNetwork = "host"
)

// variable has a program be a part of a sandbox: the watcher, which finds a [Spec] there, or what that starts.
const variable = "DIVISI_SANDBOX"

// stageVariable says which one, if it is not the watcher.
const stageVariable = "DIVISI_SANDBOX_STAGE"

// The stages of the first process.
const (
	stageBuild = "build"
	stageFirst = "first"
)

// Variable returns the variable by which this program is a watcher.
func (s Spec) Variable() (string, error) {
	s.Format = format
	text, err := json.Marshal(s)
	return variable + "=" + string(text), err
}

// Door is the name of the socket among those of the watcher at which the first process is asked. The others are handed out.
const Door = "divisi.sandbox"

// Hand returns where, in a sandbox, the socket is handed out that has a name among those of the watcher.
func Hand(name string) string { return hands + "/" + Handle(name) }

// Handle returns a short name of a long one.
func Handle(long string) string {
	sum := sha256.Sum256([]byte(long))
	return hex.EncodeToString(sum[:8])
}

// Hide has folders of the machine be empty in the sandbox, and the home folder that variables have.
func (s *Spec) Hide(env []string, folders ...string) {
	for _, variable := range env {
		if home, ok := strings.CutPrefix(variable, "HOME="); ok && filepath.IsAbs(home) {
			folders = append(folders, filepath.Clean(home))
		}
	}
	s.Hidden = append(s.Hidden, folders...)
}

// reserved are the paths at which nothing else can be seen.
var reserved = []string{"/", "/proc", "/sys", "/dev", State}

// Mount has the sandbox see a path of the machine at another one, or at the same if that is "".
func (s *Spec) Mount(from, to string, writable bool) error {
	to = cmp.Or(to, from)
	if !filepath.IsAbs(to) || filepath.Clean(to) != to || slices.Contains(reserved, to) {
		return fmt.Errorf("nothing can be mounted at %q: use an absolute path that the sandbox does not have of its own", to)
	}
	s.Mounts = append(s.Mounts, Mount{from, to, writable})
	return nil
}
