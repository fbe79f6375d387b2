// Package supply brings artifacts from this machine to where they are used.
package supply

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/divisi-go/divisi/artifact"
	store "github.com/divisi-go/divisi/internal/artifact"
	"github.com/divisi-go/divisi/internal/artifact/archive"
	"github.com/divisi-go/divisi/internal/artifact/manifest"
)

// Supply is what this machine has.
type Supply struct {
	Store  store.Place // what is installed here; one that is no [store.Store] has nothing
	Folder string      // of archives, "" for that of this program
}

// Installed is an artifact where it is used.
type Installed struct {
	artifact.Artifact
	Folder  string // on its host; nobody writes there
	Program string // path, "" if the artifact has none

	own []string // arguments that come first
}

// Args returns all arguments of the program: those that it has in this artifact, such as those of its own loader, and more.
func (i *Installed) Args(more ...any) []any {
	var args []any
	for _, arg := range i.own {
		args = append(args, arg)
	}
	return append(args, more...)
}

// installed returns what is used as it is shown.
func installed(u store.Used, err error) (*Installed, error) {
	if err != nil {
		return nil, err
	}
	i := &Installed{Artifact: artifact.Artifact{Name: u.Name, Version: u.Version, System: u.System, SHA256: u.Sum}, Folder: u.Dir}
	if len(u.Command) > 0 {
		i.Program, i.own = u.Command[0], u.Command[1:]
	}
	return i, nil
}

// Install has an artifact used in a place. If it is not there, or damaged, what it lacks is sent. What is cut off goes on where it
// ended, until ctx ends.
func (s Supply) Install(ctx context.Context, a artifact.Artifact, to store.Place) (*Installed, error) {
	if to == nil {
		return nil, errNowhere
	}
	used, err := to.Use(ctx, a.SHA256)
	if !errors.Is(err, store.ErrNone) && !errors.Is(err, store.ErrDamaged) {
		return installed(used, err)
	}
	for err = s.send(ctx, a, to); errors.Is(err, store.ErrCut) && again(ctx); {
		err = s.send(ctx, a, to)
	}
	if err != nil {
		return nil, err
	}
	return installed(to.Use(ctx, a.SHA256))
}

// Revert has the version before the current one of a name used in a place.
func (Supply) Revert(ctx context.Context, name string, at store.Place) (*Installed, error) {
	if at == nil {
		return nil, errNowhere
	}
	return installed(at.UseBefore(ctx, name))
}

// errNowhere is the error of a host without a place for artifacts, as one that is simulated.
var errNowhere = errors.New("that host keeps no artifacts")

// againTime is how long what was cut off waits before it goes on. A host that cannot be reached is waited for besides.
const againTime = 100 * time.Millisecond

// again waits, and reports whether ctx goes on.
func again(ctx context.Context) bool {
	select {
	case <-time.After(againTime):
		return true
	case <-ctx.Done():
		return false
	}
}

// send sends an artifact.
func (s Supply) send(ctx context.Context, a artifact.Artifact, to store.Place) error {
	if here, ok := s.Store.(*store.Store); ok && s.Store != to {
		if t, err := here.Open(a.SHA256); err == nil {
			defer t.Release()
			_, err = store.Send(ctx, t, to)
			return err
		}
	}
	folder := s.Folder
	if folder == "" {
		path, err := os.Executable()
		if err != nil {
			return err
		}
		folder = filepath.Dir(path)
	}
	file := filepath.Join(folder, archive.FileName(manifest.Manifest{Name: a.Name, Version: a.Version}))
	f, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("this machine has no artifact of the sum %s, and no %s: put the archive there, or run divisi artifact install with it",
			a.SHA256, file)
	}
	if err != nil {
		return err
	}
	defer f.Close()

	packed, err := archive.NewReader(f, manifest.MaxSize)
	if err == nil && manifest.Sum(packed.Text()) != a.SHA256 {
		err = fmt.Errorf("its sum is %s, and not %s, which the program was built for", manifest.Sum(packed.Text()), a.SHA256)
	}
	if err != nil {
		return fmt.Errorf("cannot use %s: %w", file, err)
	}
	_, err = store.Send(ctx, packed, to)
	return err
}
