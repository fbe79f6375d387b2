// Package build makes programs out of packages, and reads from a program what components it has.
package build

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// Package is a main package to build.
type Package struct {
	Dir     string // absolute folder in which the go command runs
	Pattern string // the package, seen from there: ".", or an import path
}

// Error is why a package cannot be built. Its text begins with one line that says it all; what
// the compiler printed may follow.
type Error struct {
	Text string
	Way  string // out of it; "" if the compiler's own words have to do
}

func (e *Error) Error() string { return e.Text }

// Hint returns the way out.
func (e *Error) Hint() string { return e.Way }

// Folder returns the package in a folder.
func Folder(dir string) (Package, error) {
	absolute, err := filepath.Abs(dir)
	return Package{Dir: absolute, Pattern: "."}, err
}

// what says what can be given where a program is wanted.
const what = "give the folder of a main package, its import path, a program, or a TOML file"

// Find returns the package in a folder, or with an import path, or with any other pattern that the
// go command takes and that stands for one package, as seen from the working directory.
func Find(ctx context.Context, pattern string) (Package, error) {
	info, err := os.Stat(pattern)
	switch {
	case err == nil && info.IsDir():
		return Folder(pattern)
	case err == nil && filepath.Ext(pattern) == ".go":
		return Package{}, &Error{Text: pattern + " is a file of a package, not a package",
			Way: "give its folder: " + filepath.Dir(pattern)}
	case strings.HasSuffix(pattern, "..."):
	case errors.Is(err, fs.ErrNotExist) && (filepath.IsAbs(pattern) || strings.HasPrefix(pattern, ".")):
		return Package{}, &Error{Text: pattern + " does not exist", Way: what}
	}

	dir, err := os.Getwd()
	if err != nil {
		return Package{}, err
	}
	p := Package{Dir: dir, Pattern: pattern}
	found, err := p.list(ctx)
	if err != nil {
		return Package{}, err
	}
	mains := slices.DeleteFunc(found, func(l listed) bool { return l.Name != "main" })
	switch len(mains) {
	case 0:
		return Package{}, &Error{Text: fmt.Sprintf("%s is no main package", pattern),
			Way: "give the one that has the function main"}
	case 1:
		p.Pattern = mains[0].ImportPath
		return p, nil
	}
	paths := make([]string, len(mains))
	for i, m := range mains {
		paths[i] = m.ImportPath
	}
	return Package{}, &Error{Text: fmt.Sprintf("%s stands for %d programs", pattern, len(mains)),
		Way: "give one of " + strings.Join(paths, ", ")}
}

// Build builds the program into a file below dir, and returns the file.
func (p Package) Build(ctx context.Context, dir string) (string, error) {
	base := filepath.Base(p.Dir)
	if p.Pattern != "." {
		base = programName(p.Pattern)
	}
	output := filepath.Join(dir, base)
	_, printed, err := p.run(ctx, "build", "-o", output, p.Pattern)
	if err != nil {
		return "", p.explain(ctx, printed, err)
	}
	if info, err := os.Stat(output); err != nil || info.IsDir() || info.Mode()&0o111 == 0 {
		return "", &Error{Text: fmt.Sprintf("%s is no main package", p), Way: "give the one that has the function main"}
	}
	return output, nil
}

// majorVersion is the last element of import paths such as example.com/shop/v2.
var majorVersion = regexp.MustCompile(`^v[0-9]+$`)

// programName is the name that the go command gives a program.
func programName(importPath string) string {
	dir, base := path.Split(importPath)
	if majorVersion.MatchString(base) && dir != "" {
		base = path.Base(dir)
	}
	return base
}

// String returns the package as a user would name it.
func (p Package) String() string {
	if p.Pattern != "." {
		return p.Pattern
	}
	if here, err := os.Getwd(); err == nil {
		if rel, err := filepath.Rel(here, p.Dir); err == nil && !strings.HasPrefix(rel, "..") {
			if rel == "." {
				return "."
			}
			return "." + string(filepath.Separator) + rel
		}
	}
	return p.Dir
}

// run runs the go command, and returns what it wrote to its output and what it complained of.
func (p Package) run(ctx context.Context, args ...string) (out []byte, printed string, err error) {
	compiler, err := exec.LookPath("go")
	if err != nil {
		return nil, "", err
	}
	cmd := exec.CommandContext(ctx, compiler, args...)
	cmd.Dir = p.Dir
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err = cmd.Run()
	return stdout.Bytes(), strings.TrimSpace(stderr.String()), err
}

// generated finds the names of generated files at the beginning of what the compiler prints.
var generated = regexp.MustCompile(`(?m)^(\S.*)\bdivisi_gen\.go:[0-9]`)

// stale returns the folders whose generated files do not compile.
func (p Package) stale(printed string) (folders []string) {
	for _, match := range generated.FindAllStringSubmatch(printed, -1) {
		dir := match[1]
		if !filepath.IsAbs(dir) {
			dir = filepath.Join(p.Dir, dir)
		}
		folder := Package{Dir: filepath.Clean(dir), Pattern: "."}.String()
		if !slices.Contains(folders, folder) {
			folders = append(folders, folder)
		}
	}
	if folders == nil {
		return []string{p.String()}
	}
	return folders
}

// oldGo finds the complaints of go commands that are older than a module asks for, those of today,
// those that cannot fetch a newer one, and those of before Go 1.21.
var oldGo = regexp.MustCompile("requires go >= ([0-9.]+) \\(running|download go([0-9.]+) |" +
	"invalid go version '([0-9.]+)'|module requires Go ([0-9.]+)")

// explain makes one line of what the go command printed, with the way out.
func (p Package) explain(ctx context.Context, printed string, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if errors.Is(err, exec.ErrNotFound) {
		return &Error{
			Text: fmt.Sprintf("cannot build %s: the go command is not on the PATH", p),
			Way:  "install Go from https://go.dev/dl/, or give a program that is built already",
		}
	}
	for line := range strings.Lines(printed) {
		if old := oldGo.FindStringSubmatch(line); old != nil {
			line = strings.TrimPrefix(strings.TrimSpace(line), "go: ")
			return &Error{
				Text: fmt.Sprintf("cannot build %s: this Go is too old: %s", p, line),
				Way:  fmt.Sprintf("install Go %s or later from https://go.dev/dl/", cmp.Or(old[1:]...)),
			}
		}
	}
	printed = strings.TrimPrefix(cmp.Or(printed, err.Error()), "go: ")
	between := " "
	if strings.Contains(printed, "\n") {
		between = "\n"
	}
	e := &Error{Text: fmt.Sprintf("cannot build %s:%s%s", p, between, printed)}
	switch {
	case strings.Contains(printed, "run_divisi_generate"):
		// What the compiler says of each type is of no use to who has to run one command.
		stale := strings.Join(p.stale(printed), " ")
		e.Text = fmt.Sprintf("cannot build %s: the generated code of %s is stale", p, stale)
		e.Way = "run: divisi generate " + stale
	case strings.Contains(printed, "no space left on device"):
		e.Way = "make room in the folder for temporary files and in DIVISI_HOME, or set TMPDIR and DIVISI_HOME to folders elsewhere"
	case strings.Contains(printed, "go.mod file not found"):
		e.Text = fmt.Sprintf("cannot build %s: it is in no module", p)
		e.Way = "run there: go mod init example.com/NAME"
	}
	return e
}
