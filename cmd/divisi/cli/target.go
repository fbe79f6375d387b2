package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/divisi-go/divisi/cmd/divisi/build"
	"github.com/divisi-go/divisi/internal/config"
	"github.com/divisi-go/divisi/internal/deployer"
	"github.com/divisi-go/divisi/internal/name"
)

// target is what run was given: a program, perhaps one to be built, and a configuration.
type target struct {
	binary string
	pkg    *build.Package // if it is built
	file   string         // the configuration, "" if there is none
	text   string
	temp   string // folder of what was built
}

// resolve finds out what the argument of run is. What has to be built is not built yet.
func resolve(ctx context.Context, arg string, o runOptions) (*target, error) {
	t := &target{file: o.configFile}
	info, err := os.Stat(arg)
	switch {
	case strings.HasSuffix(arg, ".toml") && (err != nil || !info.IsDir()):
		if t.file != "" {
			return nil, usageError("two configurations, %s and %s: give one", arg, t.file)
		}
		t.file = arg
	case err == nil && !info.IsDir():
		t.binary = arg
	default:
		pkg, err := packageOf(ctx, arg)
		if err != nil {
			return nil, err
		}
		t.pkg = &pkg
	}
	if err := t.read(); err != nil {
		return nil, err
	}
	if t.binary == "" && t.pkg == nil {
		if err := t.fromConfig(); err != nil {
			return nil, err
		}
	}
	if t.pkg != nil {
		return t, nil
	}
	t.binary, err = filepath.Abs(t.binary)
	return t, err
}

// packageOf returns the package in a folder, or with an import path.
func packageOf(ctx context.Context, arg string) (build.Package, error) {
	info, err := os.Stat(arg)
	switch {
	case err == nil && info.IsDir():
		return build.Folder(arg)
	case errors.Is(err, fs.ErrNotExist) && (filepath.IsAbs(arg) || strings.HasPrefix(arg, ".")):
		return build.Package{}, failure("give the folder of a main package, its import path, a program, or a TOML file",
			"%s does not exist", arg)
	}
	return build.Find(ctx, arg)
}

// read reads the configuration.
func (t *target) read() error {
	if t.file == "" {
		return nil
	}
	text, err := os.ReadFile(t.file)
	if err != nil {
		return fmt.Errorf("cannot read the configuration: %w", err)
	}
	t.text = string(text)
	return nil
}

// fromConfig takes the program that the configuration names. If it is not there, or none is
// named, the package in the configuration's folder is built.
func (t *target) fromConfig() error {
	app, err := config.Parse(t.file, t.text, config.Options{})
	if err != nil {
		return err
	}
	if app.Binary != "" {
		if _, err := os.Stat(app.Binary); err == nil {
			t.binary = app.Binary
			return nil
		}
	}
	dir := filepath.Dir(t.file)
	if found, _ := filepath.Glob(filepath.Join(dir, "*.go")); len(found) == 0 {
		if app.Binary == "" {
			return failure("name the program: binary = \"...\" in [divisi]",
				"%s names no program, and no package is beside it", t.file)
		}
		return failure("build it, or correct binary in [divisi]",
			"%s: the program %s does not exist, and no package is beside the file", t.file, app.Binary)
	}
	pkg, err := build.Folder(dir)
	t.pkg = &pkg
	return err
}

// make builds the program, unless it is there, and returns what to deploy.
func (t *target) make(ctx context.Context, c *command, o runOptions) (deployer.Spec, error) {
	err := t.read()
	if err == nil {
		err = t.build(ctx, c)
	}
	if err != nil {
		return deployer.Spec{}, err
	}
	return t.spec(o)
}

// build builds the program, unless it is there, into a folder of its own.
func (t *target) build(ctx context.Context, c *command) error {
	if t.pkg == nil {
		return nil
	}
	t.clean()
	temp, err := os.MkdirTemp("", "divisi-run")
	if err != nil {
		return err
	}
	t.temp = temp
	t.binary, err = c.build(ctx, *t.pkg, temp)
	return err
}

// build builds a package into a folder, and says how long it took.
func (c *command) build(ctx context.Context, pkg build.Package, dir string) (string, error) {
	p := c.progress("building " + pkg.String())
	program, err := pkg.Build(ctx, dir)
	took := p.end()
	if err == nil {
		fmt.Fprintf(c.err, "built %s in %v\n", pkg, took.Round(100*time.Millisecond))
	}
	return program, err
}

// clean removes what was built. Processes that run it go on.
func (t *target) clean() {
	if t.temp != "" {
		os.RemoveAll(t.temp)
	}
}

// spec returns what to deploy.
func (t *target) spec(o runOptions) (deployer.Spec, error) {
	find := build.Components
	if t.pkg != nil {
		find = t.pkg.Components
	}
	components, err := find(t.binary)
	if err != nil {
		return deployer.Spec{}, err
	}
	var names, listeners []string
	for _, c := range components {
		names = append(names, c.Name)
		listeners = append(listeners, c.Listeners...)
	}
	conf, err := config.Parse(t.file, t.text, config.Options{Components: names, Listeners: listeners})
	if err != nil {
		return deployer.Spec{}, err
	}
	if o.mtls {
		conf.Process.MTLS = true
	}
	spec := deployer.Spec{
		Name:       cmp.Or(o.name, conf.Name, name.Label(filepath.Base(t.binary))),
		Binary:     t.binary,
		Config:     conf,
		Components: components,
		Replicas:   o.replicas,
	}
	if o.colocate != "file" {
		spec.Colocate = o.colocate
	}
	return spec, nil
}
