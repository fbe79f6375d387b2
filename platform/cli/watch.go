package cli

import (
	"context"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/divisi-go/divisi/internal/deployer"
)

// settle is how long the source must be quiet before it is built: editors and version control
// write many files at once.
const settle = 200 * time.Millisecond

// watch builds the program anew whenever its source changes, and upgrades to it. A version that
// does not build, or does not become ready, leaves the one that runs alone.
func (c *command) watch(ctx context.Context, d *deployer.Deployer, t *target, o runOptions,
	replicas map[string]int) {
	if t.folder == "" {
		fmt.Fprintln(c.err, "divisi: warning: --watch has nothing to watch: TARGET is a program, "+
			"not the folder of its package")
		return
	}
	watcher, err := watchTree(t.folder)
	if err != nil {
		fmt.Fprintf(c.err, "divisi: warning: cannot watch %s: %v\n", t.folder, err)
		return
	}
	defer watcher.Close()
	var quiet <-chan time.Time
	for {
		select {
		case e := <-watcher.Events:
			if strings.HasSuffix(e.Name, ".go") && !strings.HasSuffix(e.Name, "_test.go") ||
				filepath.Ext(e.Name) == ".toml" {
				quiet = time.After(settle)
			}
		case <-quiet:
			quiet = nil
			if err := c.upgrade(ctx, d, t, o, replicas); err != nil && ctx.Err() == nil {
				fmt.Fprintf(c.err, "divisi: error: %v\ndivisi: hint: the version before goes on\n", err)
			}
		case <-ctx.Done():
			return
		}
	}
}

// upgrade builds and rolls over.
func (c *command) upgrade(ctx context.Context, d *deployer.Deployer, t *target, o runOptions,
	replicas map[string]int) error {
	next := &target{folder: t.folder, file: t.file, text: t.text}
	if err := next.build(ctx, c); err != nil {
		next.clean()
		return err
	}
	var err error
	if next.binary, err = filepath.Abs(next.binary); err != nil {
		return err
	}
	spec, err := next.spec(o, replicas)
	if err != nil {
		next.clean()
		return err
	}
	if err := d.Upgrade(ctx, spec); err != nil {
		next.clean()
		return err
	}
	t.clean()
	*t = *next
	return nil
}

// watchTree watches a folder and those below it.
func watchTree(root string) (*fsnotify.Watcher, error) {
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, err
	}
	err = filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.IsDir() {
			return err
		}
		if name := e.Name(); path != root && (strings.HasPrefix(name, ".") || name == "testdata") {
			return fs.SkipDir
		}
		return watcher.Add(path)
	})
	if err != nil {
		watcher.Close()
		return nil, err
	}
	return watcher, nil
}
