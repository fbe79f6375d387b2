package cli

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

	"github.com/divisi-go/divisi/platform/build"
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

// follow builds the program anew whenever its source or its configuration changes, and upgrades to
// it. A version that does not build, or does not become ready, leaves the one that runs alone.
func (r *runner) follow(ctx context.Context) {
	var quiet <-chan time.Time
	for {
		select {
		case e := <-r.source.watcher.Events:
			if r.source.concerns(e) {
				quiet = time.After(settle)
			}
		case err := <-r.source.watcher.Errors:
			fmt.Fprintf(r.c.err, "divisi: warning: changes may have been missed: %v\n", err)
			quiet = time.After(settle)
		case <-quiet:
			quiet = nil
			// Listed first: a folder that is new in the program may change during the build.
			err := r.source.list(ctx)
			if err == nil {
				err = r.upgrade(ctx)
			}
			if err != nil && ctx.Err() == nil {
				r.c.report(ctx, err)
				fmt.Fprintln(r.c.err, "the version before goes on")
			}
		case <-ctx.Done():
			return
		}
	}
}

// upgrade builds the next version and rolls it over.
func (r *runner) upgrade(ctx context.Context) error {
	next := &target{pkg: r.target.pkg, file: r.target.file}
	if err := next.read(); err != nil {
		return err
	}
	if err := next.build(ctx, r.c); err != nil {
		next.clean()
		return err
	}
	spec, err := next.spec(r.options)
	if err == nil {
		err = r.deployer.Upgrade(ctx, spec)
	}
	if err != nil {
		next.clean()
		return err
	}
	before := *r.target
	*r.target = *next
	before.clean()
	return nil
}
