package cli

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/divisi-go/divisi/internal/config"
	"github.com/divisi-go/divisi/internal/deployer"
	"github.com/divisi-go/divisi/platform/build"
)

// target is what run was given: a program, perhaps one to be built, and a configuration.
type target struct {
	binary string
	folder string // of the package, if it is built
	file   string // the configuration, if there is one
	text   string
	temp   string // folder of what was built
}

// resolve finds out what the argument of run is, and builds it if it has to be.
func (c *command) resolve(ctx context.Context, arg string, o runOptions) (*target, error) {
	t := &target{file: o.configFile}
	info, err := os.Stat(arg)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: give the folder of a main package, a program, or a TOML file", err)
	case info.IsDir():
		t.folder = arg
	case strings.HasSuffix(arg, ".toml"):
		if t.file != "" {
			return nil, usageError("two configurations, %s and %s: give one", arg, t.file)
		}
		t.file = arg
	default:
		t.binary = arg
	}
	if t.file != "" {
		text, err := os.ReadFile(t.file)
		if err != nil {
			return nil, fmt.Errorf("cannot read the configuration: %w", err)
		}
		t.text = string(text)
	}
	if t.binary == "" && t.folder == "" {
		if err := t.fromConfig(); err != nil {
			return nil, err
		}
	}
	if t.folder != "" {
		if err := t.build(ctx, c); err != nil {
			t.clean()
			return nil, err
		}
	}
	if t.binary, err = filepath.Abs(t.binary); err != nil {
		return nil, err
	}
	return t, nil
}

// fromConfig takes the program that the configuration names. If it is not there, the package in
// the configuration's folder is built.
func (t *target) fromConfig() error {
	app, err := config.Parse(t.file, t.text, config.Options{})
	if err != nil {
		return err
	}
	t.binary = app.Binary
	if t.binary != "" {
		if _, err := os.Stat(t.binary); err == nil {
			return nil
		}
	}
	t.folder = filepath.Dir(t.file)
	if found, _ := filepath.Glob(filepath.Join(t.folder, "*.go")); len(found) == 0 {
		return fmt.Errorf("%s: the program %q does not exist, and there is no package to build "+
			"beside the file: set binary in [divisi]", t.file, t.binary)
	}
	return nil
}

// build builds the program, and says so.
func (t *target) build(ctx context.Context, c *command) error {
	begin := time.Now()
	if isTerminal(c.err) {
		fmt.Fprintf(c.err, "building %s ...\r", t.folder)
	}
	temp, err := os.MkdirTemp("", "divisi-run")
	if err != nil {
		return err
	}
	t.clean()
	t.temp = temp
	if t.binary, err = build.Package(ctx, t.folder, temp); err != nil {
		return err
	}
	fmt.Fprintf(c.err, "built %s in %v\n", t.folder, time.Since(begin).Round(100*time.Millisecond))
	return nil
}

// clean removes what was built. Processes that run it go on.
func (t *target) clean() {
	if t.temp != "" {
		os.RemoveAll(t.temp)
	}
}

// spec returns what to deploy.
func (t *target) spec(o runOptions, replicas map[string]int) (deployer.Spec, error) {
	components, err := build.Components(t.binary)
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
		Name:       cmp.Or(o.name, conf.Name, filepath.Base(t.binary)),
		Binary:     t.binary,
		Config:     conf,
		Components: components,
		Replicas:   replicas,
	}
	if o.colocate != "file" {
		spec.Colocate = o.colocate
	}
	return spec, nil
}
