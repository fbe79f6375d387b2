package run

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/divisi-go/divisi/cmd/divisi/build"
	"github.com/divisi-go/divisi/codegen"
	"github.com/divisi-go/divisi/internal/artifact"
	"github.com/divisi-go/divisi/internal/config"
	"github.com/divisi-go/divisi/internal/deployer"
	"github.com/divisi-go/divisi/internal/home"
	"github.com/divisi-go/divisi/internal/name"
	"github.com/divisi-go/divisi/internal/place"
)

// target is what run was given: a program, perhaps one to be built, and a configuration.
type target struct {
	binary string         // file of the program; "" if it is built
	pkg    *build.Package // if it is built
	file   string         // the configuration, "" if there is none
	text   string
}

// version is one build of a target, which is kept as long as it is needed.
type version struct {
	deployer.Spec
	program *artifact.Program
}

// identify gives the version the name of the application that it became, and its own, by what it is.
func (v *version) identify(app string) (err error) {
	v.Name = app
	v.Version, err = v.Digest()
	return err
}

// release lets the program of a version be removed. Processes that run it go on.
func (v version) release() {
	if v.program != nil {
		v.program.Release()
	}
}

// configVar names the configuration of a program that runs without a deployer.
const configVar = "DIVISI_CONFIG"

// resolve finds out what the argument of run is. What has to be built is not built yet.
func resolve(ctx context.Context, arg string, o Options, view View) (*target, error) {
	for _, a := range o.Args {
		if !utf8.ValidString(a) {
			return nil, usageError("the program cannot be given the argument %q: it is no text in UTF-8", a)
		}
	}
	t := &target{file: o.ConfigFile}
	info, err := os.Stat(arg)
	switch {
	case strings.HasSuffix(arg, ".toml") && (err != nil || !info.IsDir()):
		if t.file != "" {
			return nil, usageError("two configurations, %s and %s: give one", arg, t.file)
		}
		t.file = arg
	case isProgram(arg):
		t.binary = arg
	default:
		pkg, err := build.Find(ctx, arg)
		if err != nil {
			return nil, err
		}
		t.pkg = &pkg
	}

	if file := os.Getenv(configVar); t.file == "" && file != "" {
		view.Note("the configuration is " + file + ", which " + configVar + " names")
		t.file = file
	}
	if err := t.read(); err != nil {
		return nil, err
	}
	if t.binary == "" && t.pkg == nil {
		if err := t.fromConfig(view); err != nil {
			return nil, err
		}
	}
	if t.pkg != nil {
		return t, nil
	}

	t.binary, err = filepath.Abs(t.binary)
	return t, err
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
func (t *target) fromConfig(view View) error {
	app, err := config.Parse(t.file, t.text, config.Options{})
	if err != nil {
		return err
	}

	dir := filepath.Dir(t.file)
	beside, _ := filepath.Glob(filepath.Join(dir, "*.go"))
	program, err := os.Stat(app.Binary)
	switch {
	case app.Binary != "" && err == nil:
		t.binary = app.Binary
		for _, source := range beside {
			info, err := os.Stat(source)
			if err == nil && info.ModTime().After(program.ModTime()) && !strings.HasSuffix(source, "_test.go") {
				view.Warn(fmt.Sprintf("%s is newer than the program %s: build it, or leave out binary in [divisi]",
					source, app.Binary))
				break
			}
		}
		return nil
	case app.Binary == "" && len(beside) == 0:
		return failure(`name the program: binary = "..." in [divisi]`,
			"%s names no program, and no package is beside it", t.file)
	case len(beside) == 0:
		return failure("build it, or correct binary in [divisi]",
			"%s: the program %s does not exist, and no package is beside the file", t.file, app.Binary)
	case app.Binary != "":
		view.Note(fmt.Sprintf("the program %s does not exist: the package beside %s is built", app.Binary, t.file))
	}

	pkg, err := build.Folder(dir)
	t.pkg = &pkg
	return err
}

// Components returns the components of a program, or of a package, which is built first.
func Components(ctx context.Context, arg string, view View) ([]codegen.Info, error) {
	if isProgram(arg) {
		return build.Components(arg)
	}
	pkg, err := build.Find(ctx, arg)
	if err != nil {
		return nil, err
	}
	where, err := home.Find()
	if err != nil {
		return nil, err
	}
	programs, err := openStore(where, view)
	if err != nil {
		return nil, err
	}

	program, err := (&target{pkg: &pkg}).keep(ctx, programs, view)
	if err != nil {
		return nil, err
	}
	defer program.Release()
	return pkg.Components(program.Path)
}

// isProgram reports whether an argument is a file that is no source.
func isProgram(arg string) bool {
	info, err := os.Stat(arg)
	return err == nil && !info.IsDir() && filepath.Ext(arg) != ".go"
}

// make keeps the program, which is built first unless it is there, and returns what to deploy. From
// here on a change of the file, or its end, changes nothing for this version.
func (t *target) make(ctx context.Context, programs *artifact.Store, view View, o Options) (version, error) {
	if err := t.read(); err != nil {
		return version{}, err
	}
	program, err := t.keep(ctx, programs, view)
	if err != nil {
		return version{}, err
	}

	spec, err := t.spec(program.Path, o)
	v := version{spec, program}
	if err != nil {
		v.release()
		return version{}, err
	}
	return v, nil
}

// keep keeps the program, which is built first unless it is there.
func (t *target) keep(ctx context.Context, programs *artifact.Store, view View) (*artifact.Program, error) {
	if t.pkg == nil {
		// What is wrong is said about the file that was given; what is deployed is read from the copy.
		if _, err := build.Components(t.binary); err != nil {
			return nil, err
		}
		return programs.Copy(t.binary)
	}
	return programs.Make(func(dir string) (string, error) {
		done := view.Building(t.pkg.String())
		file, err := t.pkg.Build(ctx, dir)
		done(err)
		return file, err
	})
}

// spec returns what to deploy. What the program's description and the configuration say is wrong is
// found here, before any process starts.
func (t *target) spec(program string, o Options) (deployer.Spec, error) {
	find := build.Components
	if t.pkg != nil {
		find = t.pkg.Components
	}
	components, err := find(program)
	if err != nil {
		return deployer.Spec{}, err
	}
	if err := deployer.Linked(components); err != nil {
		return deployer.Spec{}, failure("import the package of the struct that embeds divisi.Implements of it, for example with _",
			"%w", err)
	}
	conf, err := deployer.Configure(components, t.file, t.text)
	if err != nil {
		return deployer.Spec{}, err
	}
	if err := reasonable(conf, o); err != nil {
		return deployer.Spec{}, err
	}

	if err := conf.Colocate(o.Colocate); err != nil {
		return deployer.Spec{}, err
	}

	conf.Process.MTLS = conf.Process.MTLS || o.MTLS
	conf.Args = slices.Concat(conf.Args, o.Args)
	spec := deployer.Spec{
		Name:       cmp.Or(o.Name, conf.Name, name.Label(filepath.Base(program))),
		Binary:     program,
		Arg0:       cmp.Or(t.binary, filepath.Base(program)),
		Config:     conf,
		Components: components,
		Replicas:   o.Replicas,
	}
	return spec, nil
}

// reasonable refuses a file that asks for more processes than its author can have meant for this
// machine. On the command line they are insisted on.
func reasonable(conf config.App, o Options) error {
	const perCPU = 100
	total := 0
	for _, g := range conf.Groups {
		total += cmp.Or(g.Replicas, conf.Replicas, place.DefaultReplicas)
	}
	if cpus := runtime.NumCPU(); total > perCPU*cpus && len(o.Replicas) == 0 && o.Colocate == "file" {
		return failure("to insist, give a number on the command line: --replicas N",
			"%s asks for %d processes on a machine of %d CPUs", conf.File, total, cpus)
	}

	return nil
}

// unused says what a configuration asks for that run does not do.
func unused(conf config.App) (texts []string) {
	for _, place := range conf.Ignored {
		texts = append(texts, place+" is for another deployer, and not used")
	}
	for _, listener := range slices.Sorted(maps.Keys(conf.Single.Listeners)) {
		if _, ok := conf.Process.Listeners[listener]; !ok {
			texts = append(texts, fmt.Sprintf("%s: the address of the listener %s in [single] is not used: write it in [process] too",
				conf.File, listener))
		}
	}
	if conf.Rollout != 0 {
		texts = append(texts, conf.File+": rollout is not used: an upgrade happens at once")
	}

	return texts
}
