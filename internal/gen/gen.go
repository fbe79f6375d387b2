// Package gen writes the code that connects the components of packages: it loads them, checks
// them, and writes one file beside each.
package gen

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/divisi-go/divisi/internal/gen/check"
	"github.com/divisi-go/divisi/internal/gen/emit"
	"github.com/divisi-go/divisi/internal/gen/load"
	"github.com/divisi-go/divisi/internal/gen/rule"
	"github.com/divisi-go/divisi/internal/gen/shape"
	"github.com/divisi-go/divisi/internal/whole"
)

// Options say what to generate. The zero value generates the package in the working directory.
type Options struct {
	Dir      string    // where the patterns are relative to; "" is the working directory
	Patterns []string  // packages, as for the go command; none is "."
	Tags     string    // build tags, separated by commas
	Check    bool      // write nothing, and fail if there is something to write
	Report   io.Writer // gets a line for each warning and each file that has changed; may be nil
}

// Run brings the generated files of packages up to date. A file that is right is not touched. If
// anything is refused, the error has a line for each, and no file is changed.
func Run(ctx context.Context, o Options) error {
	if o.Report == nil {
		o.Report = io.Discard
	}
	if len(o.Patterns) == 0 {
		o.Patterns = []string{"."}
	}
	pkgs, err := load.Load(ctx, load.Config{Dir: o.Dir, Patterns: o.Patterns, Tags: o.Tags})
	if err != nil {
		return err
	}
	files, warnings, err := generate(pkgs)
	for _, w := range warnings {
		fmt.Fprintln(o.Report, w)
	}
	if err != nil {
		return err
	}
	var stale []error
	for _, f := range files {
		if f.data == nil && load.Excluded(f.path, o.Tags) {
			continue // it belongs to a build with other tags, which has components
		}

		changed, err := f.update(o.Check)
		switch {
		case err != nil:
			return err
		case changed && o.Check:
			stale = append(stale, fmt.Errorf("%s: stale generated code: run %s",
				load.Relative(f.path), o.command(f.path)))
		case changed:
			fmt.Fprintln(o.Report, f.verb(), load.Relative(f.path))
		}
	}
	return errors.Join(stale...)
}

// command returns the command that brings a generated file up to date.
func (o Options) command(file string) string {
	command := "divisi generate"
	if o.Tags != "" {
		command += " --tags " + o.Tags
	}
	folder := filepath.Dir(file)
	here, err := filepath.Abs(o.Dir)
	if err != nil {
		return command + " " + folder
	}
	if rel, err := filepath.Rel(here, folder); err == nil && !strings.HasPrefix(rel, "..") {
		folder = "." + string(filepath.Separator) + rel
	}
	return command + " " + strings.TrimSuffix(folder, string(filepath.Separator)+".")
}

// file is what a generated file should hold: nothing if there should be none.
type file struct {
	path string
	data []byte
}

// generate returns the generated files of packages.
func generate(pkgs []*load.Package) (files []file, warnings []*rule.Problem, err error) {
	pkgs = slices.DeleteFunc(pkgs, func(p *load.Package) bool {
		return p.Path == shape.Root || p.Dir == "" // the root's one component is written by hand
	})
	var results []*check.Result
	var refused []error
	for _, pkg := range pkgs {
		r := check.Check(pkg)
		results = append(results, r)
		for _, p := range r.Problems {
			refused = append(refused, p)
		}
		if len(r.Problems) == 0 {
			refused = append(refused, pkg.Errors...)
		}
	}
	warnings = append(check.Cycles(results), unlinked(pkgs, results)...)
	if len(refused) > 0 {
		return nil, warnings, errors.Join(refused...)
	}
	for i, r := range results {
		data, err := emit.File(r)
		if err != nil {
			return nil, warnings, fmt.Errorf("cannot generate code for %s: %w", pkgs[i].Path, err)
		}
		files = append(files, file{filepath.Join(pkgs[i].Dir, load.File), data})
	}
	return files, warnings, nil
}

func (f file) verb() string {
	if f.data == nil {
		return "removed"
	}
	return "wrote"
}

// update makes the file what it should be, or with dry set only says whether it is not.
func (f file) update(dry bool) (changed bool, err error) {
	old, err := os.ReadFile(f.path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	exists := err == nil
	if exists == (f.data != nil) && bytes.Equal(old, f.data) {
		return false, nil
	}
	if exists && foreign(old) {
		return false, fmt.Errorf("%s was not generated, and its name is needed: rename it", f.path)
	}
	switch {
	case dry:
		return true, nil
	case f.data == nil:
		return true, os.Remove(f.path)
	default:
		if err := whole.Write(f.path, f.data, 0o644); err != nil { // a build at the same time never sees half of it
			return true, fmt.Errorf("cannot write %s: %w", f.path, err)
		}
		return true, nil
	}
}

// foreign reports whether a file was written by somebody else. One that is broken was not: a
// merge, or a full disk, can leave such.
func foreign(data []byte) bool {
	if bytes.Contains(data, []byte(load.Header)) {
		return false
	}
	_, err := parser.ParseFile(token.NewFileSet(), "", data, parser.SkipObjectResolution)
	return err == nil
}
