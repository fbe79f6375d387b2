package gen

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"github.com/divisi-go/divisi/internal/gen/check"
	"github.com/divisi-go/divisi/internal/gen/emit"
	"github.com/divisi-go/divisi/internal/gen/load"
)

const runSource = `
-- store/store.go --
package store

import (
	"context"

	"github.com/divisi-go/divisi"
)

type Store interface {
	Get(context.Context, string) (string, error)
}

type store struct {
	divisi.Implements[Store]
}

func (*store) Get(_ context.Context, s string) (string, error) { return s, nil }
-- user/user.go --
package user

import (
	"example.com/gen/store"
	"github.com/divisi-go/divisi"
)

type app struct {
	divisi.Implements[divisi.Main]
	store divisi.Ref[store.Store]
}
-- plain/plain.go --
package plain
`

// module makes a module of its own with some files.
func module(t *testing.T, files string) string {
	t.Helper()
	dir := t.TempDir()
	if err := writeModule(dir); err != nil {
		t.Fatal(err)
	}
	if err := unpack(dir, txtar.Parse([]byte(files)), ""); err != nil {
		t.Fatal(err)
	}
	return dir
}

// generateIn runs the generator and returns its report.
func generateIn(t *testing.T, dir string, checkOnly bool, patterns ...string) (string, error) {
	t.Helper()
	var report bytes.Buffer
	err := Run(t.Context(), Options{Dir: dir, Patterns: patterns, Check: checkOnly, Report: &report})
	return report.String(), err
}

func mustGenerate(t *testing.T, dir string, patterns ...string) string {
	t.Helper()
	report, err := generateIn(t, dir, false, patterns...)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func TestRunWritesWhatHasChanged(t *testing.T) {
	t.Parallel()
	dir := module(t, runSource)
	file := filepath.Join(dir, "store", load.File)
	plain := filepath.Join(dir, "plain", load.File)
	writeFile(t, plain, []byte(load.Header+"\n\npackage plain\n"))

	_, err := generateIn(t, dir, true, "./store", "./plain")
	for file, folder := range map[string]string{file: "store", plain: "plain"} {
		want := file + ": stale generated code: run divisi generate ." + string(filepath.Separator) + folder
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("with Check: %v, want %s", err, want)
		}
	}
	if _, err := os.Stat(file); err == nil {
		t.Error("with Check a file was written")
	}

	report := mustGenerate(t, dir, "./store", "./plain")
	if !strings.Contains(report, "wrote "+file) || !strings.Contains(report, "removed "+plain) {
		t.Errorf("report %q", report)
	}
	if _, err := os.Stat(plain); err == nil {
		t.Error("a file that is not needed any more is still there")
	}
	before, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	if report := mustGenerate(t, dir, "./store", "./plain"); report != "" {
		t.Errorf("the second run says %q", report)
	}
	if _, err := generateIn(t, dir, true, "./store"); err != nil {
		t.Errorf("with Check after generation: %v", err)
	}
	if after, err := os.Stat(file); err != nil || !os.SameFile(before, after) {
		t.Errorf("the second run has replaced the file (%v)", err)
	}
}

// TestRunMendsBrokenFiles has generated files in all states, in packages that are generated
// and in those that they import.
func TestRunMendsBrokenFiles(t *testing.T) {
	t.Parallel()
	broken := map[string]func(good string) string{
		"empty":    func(string) string { return "" },
		"cut":      func(good string) string { return good[:len(good)/2] },
		"merge":    func(good string) string { return "<<<<<<< ours\n" + good + "=======\n>>>>>>> theirs\n" },
		"stale":    func(good string) string { return strings.ReplaceAll(good, "Get", "Fetch") },
		"renamed":  func(good string) string { return strings.Replace(good, "package store", "package other", 1) },
		"garbage":  func(string) string { return "\x00\x01" },
		"constant": func(string) string { return load.Header + "\n\npackage store\n\nconst Broken = 1 + \"a\"\n" },
	}
	names := slices.Sorted(maps.Keys(broken))
	var files strings.Builder
	_, parts, _ := strings.Cut(runSource, "-- store/store.go --\n")
	store, rest, _ := strings.Cut(parts, "-- user/user.go --\n")
	user, _, _ := strings.Cut(rest, "-- plain/plain.go --\n")
	for _, name := range names {
		fmt.Fprintf(&files, "-- %s/store.go --\n%s-- by/%s/user.go --\n%s", name, store, name, strings.Replace(user, "gen/store", "gen/"+name, 1))
	}
	dir := module(t, files.String())
	mustGenerate(t, dir, "./...")

	path := func(name string) string { return filepath.Join(dir, name, load.File) }
	good := map[string][]byte{}
	for _, name := range names {
		text, err := os.ReadFile(path(name))
		if err != nil {
			t.Fatal(err)
		}
		good[name] = text
		writeFile(t, path(name), []byte(broken[name](string(text))))
	}
	report := mustGenerate(t, dir, "./by/renamed", "./by/cut")
	if strings.Contains(report, path("renamed")) || strings.Contains(report, path("cut")) {
		t.Errorf("a package that was not named was generated: %s", report)
	}
	mustGenerate(t, dir, "./...")
	for _, name := range names {
		if got, err := os.ReadFile(path(name)); err != nil || !bytes.Equal(got, good[name]) {
			t.Errorf("%s: the file was not mended (%v)", name, err)
		}
	}
}

func TestRunToleratesUseOfGeneratedNames(t *testing.T) {
	t.Parallel()
	dir := module(t, runSource)
	mustGenerate(t, dir, "./store")
	more := filepath.Join(dir, "store", "more.go")
	writeFile(t, more, []byte("package store\n\nvar _ = storeStub{}\n"))
	mustGenerate(t, dir, "./store")
	writeFile(t, more, []byte("package store\n\nvar _ = otherStub{}\n"))
	if _, err := generateIn(t, dir, false, "./store"); err == nil ||
		!strings.Contains(err.Error(), "more.go:3:9: undefined: otherStub") {
		t.Errorf("error %v", err)
	}
}

func TestRunReportsErrorsOfSource(t *testing.T) {
	t.Parallel()
	dir := module(t, runSource+`
-- types/a.go --
package types

var a int = "b"
-- syntax/a.go --
package syntax

func f( {
-- comma/a.go --
package comma

import (
	"context"
	w "weaver" "example.com/gen/plain"
)

func f(ctx context.Context) error { return nil }
-- comma/b.go --
package comma

import "log"

func g() int { log.Fatal("x" "y") }
-- user2/a.go --
package user2

import "example.com/gen/comma"

var _ = comma.X
-- imports/a.go --
package imports

import _ "example.com/nowhere"
-- refused/a.go --
package refused

import "github.com/divisi-go/divisi"

type a struct {
	divisi.WithConfig[int]
}
`)
	for pattern, want := range map[string]string{
		"./types":   "types/a.go:3:13: cannot use \"b\"",
		"./syntax":  "syntax/a.go:3:9: expected",
		"./imports": "imports/a.go:3:10: no required module provides package example.com/nowhere",
		"./refused": "refused/a.go:6:9: a embeds divisi.WithConfig but is no component: embed",
		"./nowhere": "nowhere",
	} {
		_, err := generateIn(t, dir, false, pattern, "./store")
		if err == nil || !strings.Contains(filepath.ToSlash(err.Error()), want) {
			t.Errorf("%s: error %v, want %s", pattern, err, want)
		}
	}
	// Errors of syntax are shown without what follows from them.
	_, err := generateIn(t, dir, false, "./comma", "./user2", "./types")
	lines := strings.Split(filepath.ToSlash(fmt.Sprint(err)), "\n")
	if len(lines) != 2 || !strings.Contains(lines[0], "comma/a.go:5:13: expected ';'") ||
		!strings.Contains(lines[1], "comma/b.go:5:30: missing ','") {
		t.Errorf("error %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "store", load.File)); err == nil {
		t.Error("a file was written although something was refused")
	}
}

func TestRunToleratesMissingEmbeddedFiles(t *testing.T) {
	t.Parallel()
	dir := module(t, runSource)
	writeFile(t, filepath.Join(dir, "store", "more.go"),
		[]byte("package store\n\nimport _ \"embed\"\n\n//go:embed page.html\nvar page string\n"))
	mustGenerate(t, dir, "./store")
}

func TestRunKeepsFilesOfOthers(t *testing.T) {
	t.Parallel()
	dir := module(t, runSource)
	file := filepath.Join(dir, "store", load.File)
	writeFile(t, file, []byte("package store\n\nvar mine int\n"))
	_, err := generateIn(t, dir, false, "./store")
	if err == nil || !strings.Contains(err.Error(), "was not generated") {
		t.Errorf("error %v", err)
	}
}

func TestRunWarnsOfMissingImplementations(t *testing.T) {
	t.Parallel()
	dir := module(t, runSource+`
-- api/api.go --
package api

type Other interface{}
-- lonely/lonely.go --
package lonely

import (
	"example.com/gen/api"
	"github.com/divisi-go/divisi"
)

type app struct {
	divisi.Implements[divisi.Main]
	other divisi.Ref[api.Other]
}
`)
	mustGenerate(t, dir, "./store")
	// The implementation in a package that is not named is known by its generated file.
	if report := mustGenerate(t, dir, "./user"); strings.Contains(report, "warning") {
		t.Errorf("report %q", report)
	}
	report := mustGenerate(t, dir, "./lonely")
	if !strings.Contains(report, "lonely.go:10:2: warning: divisi.Main uses component example.com/gen/api/Other") {
		t.Errorf("report %q", report)
	}
}

// TestTags has a component that is built with a tag only.
func TestTags(t *testing.T) {
	t.Parallel()
	dir := module(t, runSource+`
-- stock/api.go --
package stock

import "context"

type Stock interface {
	Take(ctx context.Context, n int) error
}
-- stock/stock.go --
//go:build special

package stock

import (
	"context"

	"github.com/divisi-go/divisi"
)

type stock struct {
	divisi.Implements[Stock]
}

func (*stock) Take(context.Context, int) error { return nil }
`)
	run := func(check bool, tags string) error {
		return Run(t.Context(), Options{Dir: dir, Patterns: []string{"./..."}, Tags: tags, Check: check})
	}
	if err := run(false, "special"); err != nil {
		t.Fatal(err)
	}
	goCommand(t, dir, "vet", "./store", "./stock")
	goCommand(t, dir, "vet", "-tags=special", "./store", "./stock")

	// Without the tag nothing is known of the component, and its code is left alone.
	if err := run(false, ""); err != nil {
		t.Fatal(err)
	}
	for _, tags := range []string{"", "special", "other,special"} {
		if err := run(true, tags); err != nil {
			t.Errorf("with the tags %q: %v", tags, err)
		}
	}

	source, err := os.ReadFile(filepath.Join(dir, "stock", "stock.go"))
	if err != nil {
		t.Fatal(err)
	}
	changed := string(source) + "\n//divisi:always\n" +
		"type more struct {\n\tdivisi.Implements[Stock] `divisi:\"more\"`\n\tstock\n}\n"
	writeFile(t, filepath.Join(dir, "stock", "stock.go"), []byte(changed))
	want := "run divisi generate --tags special ." + string(filepath.Separator) + "stock"
	if err := run(true, "special"); err == nil || !strings.HasSuffix(err.Error(), want) {
		t.Errorf("error %v, want ... %s", err, want)
	}
}

// TestModuleWithoutDot has a module whose path looks like that of the standard library.
func TestModuleWithoutDot(t *testing.T) {
	t.Parallel()
	dir := module(t, `
-- model/model.go --
package model

type Order struct{ ID string }
-- store/store.go --
package store

import (
	"context"

	"github.com/divisi-go/divisi"
	"shop/model"
)

type Store interface {
	Put(ctx context.Context, o model.Order) (model.Order, error)
}

type store struct{ divisi.Implements[Store] }

func (*store) Put(_ context.Context, o model.Order) (model.Order, error) { return o, nil }
`)
	file := filepath.Join(dir, "go.mod")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, file, bytes.Replace(text, []byte("module "+caseModule), []byte("module shop"), 1))
	mustGenerate(t, dir, "./store")
	goCommand(t, dir, "build", "./store")

	writeFile(t, filepath.Join(dir, "model", "model.go"),
		[]byte("package model\n\ntype Order struct{ ID, Coupon string }\n"))
	cmd := exec.CommandContext(t.Context(), "go", "build", "./store")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err == nil || !bytes.Contains(out, []byte("run_divisi_generate")) {
		t.Errorf("after a field was added, the compiler says: %v\n%s", err, out)
	}
}

func TestDeterministic(t *testing.T) {
	s := loadCases(t)
	for i, pkg := range s.pkgs {
		if len(s.results[i].Problems) > 0 {
			continue
		}
		again, err := emit.File(check.Check(pkg))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(again, emitted(t, s.results[i])) {
			t.Errorf("%s: two runs give two files", pkg.Path)
		}
	}
}
