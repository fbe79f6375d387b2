package run

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/divisi-go/divisi/cmd/divisi/build"
	"github.com/divisi-go/divisi/internal/artifact"
)

// settle is how long the source must be quiet before it is built: editors and version control
// write many files at once.
const settle = 200 * time.Millisecond

// source is what a program is made from, watched. Changes wait in it until they are looked at.
type source struct {
	target  *target
	files   build.Sources
	watcher *fsnotify.Watcher
}

// watch begins to watch what a target is made from.
func watch(ctx context.Context, t *target) (*source, error) {
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, fmt.Errorf("cannot watch the source: %w", err)
	}
	s := &source{target: t, watcher: watcher}
	if err := s.list(ctx); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *source) close() { s.watcher.Close() }

// list watches all folders that the program is made from now. Folders, rather than files, since
// editors replace files. It lists again until nothing is new: what a folder imports may have
// changed before the folder was watched.
func (s *source) list(ctx context.Context) error {
	for {
		files, err := s.target.pkg.Sources(ctx)
		if err != nil {
			return err
		}
		folders := files.Folders
		if file := s.target.file; file != "" {
			absolute, err := filepath.Abs(file)
			if err != nil {
				return err
			}
			folders = append(folders, filepath.Dir(absolute))
		}
		for _, folder := range folders {
			// Adding one again changes nothing, unless it was made anew. One that is not there is
			// noticed when it comes, by the one above it.
			if err := s.watcher.Add(folder); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("cannot watch the source: %s: %w", folder, err)
			}
		}
		known := s.files.Folders
		s.files = files
		if slices.Equal(files.Folders, known) {
			return nil
		}
	}
}

// concerns reports whether a change may change the program or its configuration.
func (s *source) concerns(e fsnotify.Event) bool {
	base := filepath.Base(e.Name)
	switch {
	case e.Op == fsnotify.Chmod, strings.HasSuffix(base, "_test.go"):
		return false
	case strings.HasPrefix(base, "."), strings.HasSuffix(base, "~"), strings.HasPrefix(base, "#"):
		return false // what editors put beside
	}
	if file, err := filepath.Abs(s.target.file); s.target.file != "" && err == nil && file == e.Name {
		return true
	}
	return s.files.Has(e.Name)
}

// changed waits for a change of the source, and until it is quiet again. It reports false when ctx
// has ended.
func (s *source) changed(ctx context.Context) bool {
	var quiet <-chan time.Time
	for {
		select {
		case e := <-s.watcher.Events:
			if s.concerns(e) {
				quiet = time.After(settle)
			}
		case <-s.watcher.Errors: // changes may have been missed
			quiet = time.After(settle)
		case <-quiet:
			return true
		case <-ctx.Done():
			return false
		}
	}
}

// first makes the first version of the program. If that fails, it is made again after a change.
func (s *source) first(ctx context.Context, programs *artifact.Store, view View, o Options) (v version, err error) {
	for {
		if err == nil {
			if v, err = s.target.make(ctx, programs, view, o); err == nil {
				return v, nil
			}
		}
		if ctx.Err() != nil {
			return version{}, err
		}
		view.Fail(err)
		view.Note("waiting for a change of the source")
		if !s.changed(ctx) {
			return version{}, context.Cause(ctx)
		}
		err = s.list(ctx)
	}
}

// follow builds the program anew whenever its source or its configuration changes, and upgrades to
// it. A version that does not build, or does not become ready, leaves the one that runs alone.
func (a *application) follow(ctx context.Context) {
	for a.source.changed(ctx) {
		// Listed first: a folder that is new in the program may change during the build.
		err := a.source.list(ctx)
		if err == nil {
			err = a.upgrade(ctx)
		}
		if err != nil && ctx.Err() == nil {
			a.view.Fail(err)
			a.view.Note("the version before goes on")
		}
	}
}

// upgrade builds the next version and rolls it over.
func (a *application) upgrade(ctx context.Context) error {
	next, err := a.target.make(ctx, a.programs, a.view, a.options)
	if err != nil {
		return err
	}
	if err := next.identify(a.spec.Name); err != nil {
		next.release()
		return err
	}
	if next.Version == a.running.Version {
		next.release()
		a.view.Note("nothing has changed")
		return nil
	}
	if err := a.deployer.Upgrade(ctx, next.Spec); err != nil {
		next.release()
		return err
	}

	a.running.release()
	a.running = next
	cleanPrograms(a.programs, a.view)
	return nil
}
