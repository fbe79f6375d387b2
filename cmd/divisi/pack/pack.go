package pack

import (
	"bytes"
	"errors"
	"fmt"
	"go/format"
	"go/parser"
	"go/token"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/divisi-go/divisi/cmd/divisi/console"
	"github.com/divisi-go/divisi/cmd/divisi/library"
	"github.com/divisi-go/divisi/internal/artifact/archive"
	"github.com/divisi-go/divisi/internal/artifact/manifest"
	"github.com/divisi-go/divisi/internal/program"
	"github.com/divisi-go/divisi/internal/whole"
)

// order is what is to be packed, and how.
type order struct {
	manifest manifest.Manifest
	from     map[string]string // files of this machine, by their paths in the artifact
	entry    string            // the program, by its path in the artifact, "" if there is none
	withLibs bool
	requires []string // archives
	to       string
	pkg      string
}

func (c command) pack() *cobra.Command {
	var o order
	cmd := &cobra.Command{
		Use:   "pack [flags] DIR|BINARY",
		Short: "Pack a program or a folder",
		Long: "Pack a program or a folder. Three files are written: NAME-VERSION.tar.gz is the artifact; artifact.toml says what\n" +
			"is in it; artifact.go names it for a Go program that brings it to hosts. The same files always have the same sum.\n\n" +
			"A folder may have a program: the one that --entry names, or the only one in its folder bin. With --with-libs the\n" +
			"dynamic libraries of the program and its loader are packed as well, in the folder lib, and the program is run by\n" +
			"that loader; so a host needs none of them. They are looked for where the loader would look, and in lib of the folder.\n" +
			"What a program loads only while it runs, nobody sees: put that into lib.",
		Example: "  divisi artifact pack --with-libs --version 1.2 --to ./exampled /usr/local/bin/exampled\n" +
			"  divisi artifact pack --requires jre-17.tar.gz ./build",
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if err := o.collect(args[0]); err != nil {
				return fmt.Errorf("cannot pack %s: %w", args[0], err)
			}
			return c.write(o)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.manifest.Name, "name", "", "name of the artifact (default that of the file or folder)")
	flags.StringVar(&o.manifest.Version, "version", "", "version, as you call it")
	flags.StringVar(&o.manifest.System, "system", "", "system that it runs on, such as linux/amd64 (default that of the program)")
	flags.StringVar(&o.entry, "entry", "", "the program of a folder, by its path in it")
	flags.BoolVar(&o.withLibs, "with-libs", false, "pack the dynamic libraries of the program, and the loader")
	flags.StringArrayVar(&o.requires, "requires", nil, "archive of an artifact that this one requires")
	flags.StringVar(&o.to, "to", ".", "folder for the three files")
	flags.StringVar(&o.pkg, "package", "", "name of the Go package (default that of the files or folder there)")
	return cmd
}

// collect finds what is to be packed.
func (o *order) collect(what string) error {
	path, err := filepath.Abs(what)
	if err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	base := filepath.Base(path)
	if info.IsDir() {
		err = o.folder(path)
	} else if o.entry != "" {
		err = console.UsageError("--entry is for a folder, and %s is a file: leave it out", what)
	} else {
		o.entry = "bin/" + base
		o.from = map[string]string{o.entry: path}
	}
	if err != nil {
		return err
	}
	if o.manifest.Name == "" {
		o.manifest.Name = base
	}
	if err := o.program(); err != nil {
		return err
	}
	if err := o.require(); err != nil {
		return err
	}
	o.manifest.Files, err = archive.Entries(o.from)
	if err != nil {
		return err
	}
	return o.manifest.Check(manifest.MaxSize)
}

// folder takes the files of a folder.
func (o *order) folder(dir string) (err error) {
	if dir, err = filepath.EvalSymlinks(dir); err != nil {
		return err
	}
	to, err := filepath.Abs(o.to)
	if err != nil {
		return err
	}
	if inside, err := filepath.Rel(dir, to); err == nil && filepath.IsLocal(inside) {
		return console.UsageError("--to %s is in the folder that is packed: name a folder elsewhere", o.to)
	}
	if o.from, err = archive.Tree(dir); err != nil {
		return err
	}
	if o.entry != "" {
		o.entry = filepath.ToSlash(filepath.Clean(o.entry))
		if o.from[o.entry] == "" {
			return console.UsageError("--entry %s: there is no such file in the folder: give its path from there", o.entry)
		}
		return nil
	}

	var programs []string
	for path, file := range o.from {
		info, err := os.Stat(file)
		if err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 && filepath.Dir(path) == "bin" {
			programs = append(programs, path)
		}
	}
	slices.Sort(programs)
	if len(programs) > 1 {
		return console.UsageError("which program it is for is not clear: give one by --entry, such as %s", programs[0])
	}
	if len(programs) == 1 {
		o.entry = programs[0]
	}
	return nil
}

// program says how the program is called, and adds its libraries.
func (o *order) program() error {
	if o.entry == "" {
		if o.withLibs {
			return console.UsageError("--with-libs: there is no program in bin: name it by --entry")
		}
		return nil
	}
	file := o.from[o.entry]
	if o.manifest.System == "" {
		o.manifest.System = program.Built(file)
		if !strings.Contains(o.manifest.System, "/") {
			o.manifest.System = library.System(file)
		}
	}
	o.manifest.Run = []string{"{self}/" + o.entry}
	if o.withLibs {
		return o.addLibraries(file)
	}
	return nil
}

// addLibraries adds the libraries of the program and its loader, which is called in its place then. A program
// finds itself by the name that it is called by, so the loader is to pass that on; old ones cannot.
func (o *order) addLibraries(file string) error {
	var own []string
	for path, file := range o.from {
		if filepath.Dir(path) == "lib" {
			own = append(own, filepath.Dir(file))
			break
		}
	}
	closure, err := library.Find(file, own...)
	if err != nil || closure.Loader == "" {
		return err
	}
	loader := "lib/" + filepath.Base(closure.Loader)
	closure.Libraries[filepath.Base(closure.Loader)] = closure.Loader
	for name, file := range closure.Libraries {
		if path := "lib/" + name; o.from[path] == "" {
			o.from[path] = file
		}
	}

	text, err := os.ReadFile(closure.Loader)
	if err != nil {
		return err
	}
	run := []string{"{self}/" + loader, "--library-path", "{self}/lib"}
	if bytes.Contains(text, []byte("--argv0")) {
		run = append(run, "--argv0", "{self}/"+o.entry)
	}
	o.manifest.Run = append(run, "{self}/"+o.entry)
	return nil
}

// require reads which artifacts are required.
func (o *order) require() error {
	o.manifest.Requires = map[string]string{}
	for _, file := range o.requires {
		a, end, err := open(file)
		if err != nil {
			return err
		}
		end()
		name := a.Manifest.Name
		if o.manifest.Requires[name] != "" {
			return console.UsageError("two of the artifacts that it requires are called %s: leave out one of them", name)
		}
		o.manifest.Requires[name] = manifest.Sum(a.Text())
	}
	return nil
}

// generated begins the Go file.
const generated = "// Code generated by divisi artifact pack. DO NOT EDIT.\n"

// goFile is how the Go file is called.
const goFile = "artifact.go"

// write writes the three files.
func (c command) write(o order) error {
	if err := os.MkdirAll(o.to, 0o777); err != nil {
		return err
	}
	source, err := o.source()
	if err != nil {
		return err
	}
	there, err := os.ReadFile(filepath.Join(o.to, goFile))
	if err == nil && !bytes.HasPrefix(there, []byte(generated)) {
		return console.Failure("name another folder by --to", "%s was not made by this command, and would be overwritten",
			filepath.Join(o.to, goFile))
	}

	file := filepath.Join(o.to, archive.FileName(o.manifest))
	if err := o.archive(file); err != nil {
		return err
	}
	text := o.manifest.Text()
	err = errors.Join(os.WriteFile(filepath.Join(o.to, manifest.File), text, 0o666),
		os.WriteFile(filepath.Join(o.to, goFile), source, 0o666))
	if err != nil {
		return err
	}
	return c.show(summary{Manifest: o.manifest, Sum: manifest.Sum(text), Archive: file})
}

// archive writes the archive, as a whole or not at all.
func (o *order) archive(file string) error {
	return whole.Make(file, 0o644, func(w io.Writer) error { return archive.Write(w, o.manifest, o.from) })
}

// source returns the Go file.
func (o *order) source() ([]byte, error) {
	pkg, err := o.packageName()
	if err != nil {
		return nil, err
	}
	m := o.manifest
	variable := ""
	for _, part := range strings.FieldsFunc(m.Name, func(r rune) bool { return strings.ContainsRune("-_.", r) }) {
		variable += strings.ToUpper(part[:1]) + part[1:]
	}
	if !token.IsExported(variable) {
		variable = "Artifact" + variable
	}
	what := m.Title()
	if m.System != "" {
		what += " for " + m.System
	}
	return format.Source(fmt.Appendf(nil, "%s\npackage %s\n\nimport \"github.com/divisi-go/divisi/artifact\"\n\n"+
		"// %s is the artifact %s.\nvar %s = artifact.Artifact{\nName: %q,\nVersion: %q,\nSystem: %q,\nSHA256: %q,\n}\n",
		generated, pkg, variable, what, variable, m.Name, m.Version, m.System, manifest.Sum(m.Text())))
}

// packageName returns the name of the package that the Go file belongs to: the one that was given, that of the
// other files in the folder, or else that of the folder.
func (o *order) packageName() (string, error) {
	pkg := o.pkg
	if pkg == "" {
		files, _ := filepath.Glob(filepath.Join(o.to, "*.go"))
		for _, file := range files {
			if filepath.Base(file) == goFile || strings.HasSuffix(file, "_test.go") {
				continue
			}
			there, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.PackageClauseOnly)
			if err != nil {
				return "", err
			}
			return there.Name.Name, nil
		}
		dir, err := filepath.Abs(o.to)
		if err != nil {
			return "", err
		}
		pkg = strings.Map(func(r rune) rune {
			if unicode.IsLetter(r) || unicode.IsDigit(r) {
				return unicode.ToLower(r)
			}
			return -1
		}, filepath.Base(dir))
	}
	if !token.IsIdentifier(pkg) {
		return "", console.UsageError("a Go package cannot be called %q: give a name by --package", pkg)
	}
	return pkg, nil
}
