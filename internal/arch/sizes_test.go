package arch

import (
	"go/ast"
	"maps"
	"path"
	"slices"
	"testing"
)

// What a reader can hold. Generated files do not count, and of tests only the files do.
const (
	maxPackageLines  = 2000
	maxPackageFiles  = 15
	maxFileLines     = 600
	maxTestFileLines = 1000
	maxFunctionLines = 70
)

// size is how much a package has.
type size struct{ lines, files int }

func TestPackageSizes(t *testing.T) {
	sizes := map[string]size{}
	for _, s := range sources(t) {
		if isTest(s.file) || isGenerated(s.file) {
			continue
		}
		before := sizes[s.pkg]
		sizes[s.pkg] = size{before.lines + s.lines, before.files + 1}
	}

	for _, pkg := range slices.Sorted(maps.Keys(sizes)) {
		got := sizes[pkg]
		if got.lines > maxPackageLines {
			t.Errorf("%s has %d lines, more than %d: split it by noun", pkg, got.lines, maxPackageLines)
		}
		if got.files > maxPackageFiles {
			t.Errorf("%s has %d files, more than %d: split it by noun", pkg, got.files, maxPackageFiles)
		}
	}
}

func TestFileSizes(t *testing.T) {
	for _, s := range sources(t) {
		limit := maxFileLines
		if isTest(s.file) {
			limit = maxTestFileLines
		}
		if s.lines > limit && !isGenerated(s.file) {
			t.Errorf("%s has %d lines, more than %d: split it by noun", s.file, s.lines, limit)
		}
	}
}

func TestFunctionSizes(t *testing.T) {
	for _, s := range sources(t) {
		if isTest(s.file) || isGenerated(s.file) {
			continue
		}
		for _, decl := range s.syntax.Decls {
			f, ok := decl.(*ast.FuncDecl)
			if !ok {
				continue
			}
			lines := s.set.Position(f.End()).Line - s.set.Position(f.Pos()).Line + 1
			if lines > maxFunctionLines {
				t.Errorf("%s: %s has %d lines, more than %d", s.set.Position(f.Pos()), f.Name.Name, lines, maxFunctionLines)
			}
		}
	}
}

func TestPackageNames(t *testing.T) {
	shelves := []string{"util", "utils", "helper", "helpers", "common", "misc", "lib", "base",
		"core", "types", "models", "shared", "manager"}
	for _, s := range sources(t) {
		if slices.Contains(shelves, path.Base(s.pkg)) {
			t.Errorf("%s: a package named %s says nothing", s.file, path.Base(s.pkg))
		}
	}
}
