package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/divisi-go/divisi/platform/build"
)

// settle is how long the source must be quiet before it is built: editors and version control
// write many files at once.
const settle = 200 * time.Millisecond

// watch builds the program anew whenever its source or its configuration changes, and upgrades to
// it. A version that does not build, or does not become ready, leaves the one that runs alone.
func (r *runner) watch(ctx context.Context) {
	var sources build.Sources
	watcher, err := fsnotify.NewWatcher()
	if err == nil {
		defer watcher.Close()
		sources, err = r.watchSources(ctx, watcher)
	}
	if err != nil {
		if ctx.Err() == nil {
			fmt.Fprintf(r.c.err, "divisi: warning: the source is not watched: %v\n", err)
		}
		return
	}
	var quiet <-chan time.Time
	for {
		select {
		case e := <-watcher.Events:
			if r.concerns(e, sources) {
				quiet = time.After(settle)
			}
		case err := <-watcher.Errors:
			fmt.Fprintf(r.c.err, "divisi: warning: changes may have been missed: %v\n", err)
		case <-quiet:
			quiet = nil
			if err := r.upgrade(ctx); err != nil && ctx.Err() == nil {
				r.c.report(ctx, err)
				fmt.Fprintln(r.c.err, "the version before goes on")
			}
			if now, err := r.watchSources(ctx, watcher); err == nil {
				sources = now
			}
		case <-ctx.Done():
			return
		}
	}
}

// watchSources watches all folders that the program is made from. Folders, rather than files,
// since editors replace files.
func (r *runner) watchSources(ctx context.Context, watcher *fsnotify.Watcher) (build.Sources, error) {
	sources, err := r.target.pkg.Sources(ctx)
	if err != nil {
		return sources, err
	}
	folders := sources.Folders
	if file := r.target.file; file != "" {
		absolute, err := filepath.Abs(file)
		if err != nil {
			return sources, err
		}
		folders = append(folders, filepath.Dir(absolute))
	}
	for _, folder := range folders {
		// Adding one again changes nothing.
		if err := watcher.Add(folder); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return sources, fmt.Errorf("%s: %w", folder, err)
		}
	}
	return sources, nil
}

// concerns reports whether a change may change the program or its configuration.
func (r *runner) concerns(e fsnotify.Event, sources build.Sources) bool {
	base := filepath.Base(e.Name)
	switch {
	case e.Op == fsnotify.Chmod, strings.HasSuffix(base, "_test.go"):
		return false
	case strings.HasPrefix(base, "."), strings.HasSuffix(base, "~"), strings.HasPrefix(base, "#"):
		return false // what editors put beside
	}
	if file, err := filepath.Abs(r.target.file); r.target.file != "" && err == nil && file == e.Name {
		return true
	}
	return sources.Has(e.Name)
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
