package gen

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/tools/txtar"

	"github.com/divisi-go/divisi/internal/gen/check"
	"github.com/divisi-go/divisi/internal/gen/emit"
	"github.com/divisi-go/divisi/internal/gen/load"
	"github.com/divisi-go/divisi/internal/gen/rule"
)

var update = flag.Bool("update", false, "write what the tests expect to their files; "+
	"commit the difference only if every line of it is wanted")

// Every case is an archive in a folder of testdata. All of them are unpacked into one module,
// each in a folder of its own, example.com/gen/FOLDER/CASE, and loaded at once.
const caseModule = "example.com/gen"

var caseDirs = []string{"examples", "ok", "refusals", "stale"}

// space is the module with all cases.
type space struct {
	dir      string
	archives map[string]*txtar.Archive // by FOLDER/CASE
	pkgs     []*load.Package
	results  []*check.Result
	byCase   map[string][]int // indexes into pkgs and results
}

var cases = sync.OnceValues(func() (*space, error) {
	dir, err := os.MkdirTemp("", "divisi-gen-test-")
	if err != nil {
		return nil, err
	}
	s := &space{dir: dir, archives: map[string]*txtar.Archive{}, byCase: map[string][]int{}}
	if err := writeModule(dir); err != nil {
		return s, err
	}
	for _, folder := range caseDirs {
		files, err := filepath.Glob(filepath.Join("testdata", folder, "*.txtar"))
		if err != nil {
			return s, err
		}
		for _, file := range files {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				return s, err
			}
			name := folder + "/" + strings.TrimSuffix(filepath.Base(file), ".txtar")
			s.archives[name] = archive
			if err := unpack(filepath.Join(dir, name), archive, ""); err != nil {
				return s, err
			}
		}
	}
	if err := s.lengthen("refusals/description-too-long/a.go"); err != nil {
		return s, err
	}
	s.pkgs, err = load.Load(context.Background(), load.Config{Dir: dir, Patterns: []string{"./..."}})
	if err != nil {
		return s, err
	}
	if err := os.RemoveAll(filepath.Join(dir, "refusals/source-missing/gone")); err != nil {
		return s, err
	}
	for i, pkg := range s.pkgs {
		s.results = append(s.results, check.Check(pkg))
		path := strings.Split(strings.TrimPrefix(pkg.Path, caseModule+"/"), "/")
		if len(path) >= 2 {
			name := path[0] + "/" + path[1]
			s.byCase[name] = append(s.byCase[name], i)
		}
	}
	return s, nil
})

// lengthen writes out a name of more letters than one wants to read in a file of a case.
func (s *space) lengthen(name string) error {
	file := filepath.Join(s.dir, name)
	source, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	long := bytes.ReplaceAll(source, []byte("LONG"), bytes.Repeat([]byte("long"), 300_000))
	return os.WriteFile(file, long, 0o600)
}

func TestMain(m *testing.M) {
	flag.Parse()
	// The cases are a module of their own, and no workspace may get in between.
	os.Setenv("GOWORK", "off")
	os.Setenv("GOFLAGS", "")
	os.Setenv("GOPROXY", "off")
	code := m.Run()
	if s, _ := cases(); s != nil {
		os.RemoveAll(s.dir)
	}
	os.Exit(code)
}

func loadCases(t *testing.T) *space {
	t.Helper()
	s, err := cases()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// writeModule makes a module that requires this one, with the same versions of everything, and
// stand-ins for modules that this one must not require.
func writeModule(dir string) error {
	root, err := filepath.Abs("../..")
	if err != nil {
		return err
	}
	mod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		return err
	}
	_, requires, _ := strings.Cut(string(mod), "\nrequire")
	sum, err := os.ReadFile(filepath.Join(root, "go.sum"))
	if err != nil {
		return err
	}
	for _, name := range []string{"protobuf", "both"} {
		archive, err := txtar.ParseFile(filepath.Join("testdata", name+".txtar"))
		if err != nil {
			return err
		}
		if err := unpack(filepath.Join(dir, name), archive, ""); err != nil {
			return err
		}
	}
	text := fmt.Sprintf(`module %s

go 1.26.0

require (
	github.com/divisi-go/divisi v0.0.0
	google.golang.org/protobuf v0.0.0
)

replace (
	github.com/divisi-go/divisi => %s
	google.golang.org/protobuf => ./protobuf
)

require%s`, caseModule, root, requires)
	if err := os.WriteFile(filepath.Join(dir, "go.mod"), []byte(text), 0o600); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "go.sum"), sum, 0o600)
}

// unpack writes the files of an archive that are source, from the part of it below a prefix. What
// is below after/ is how a case of stale code goes on.
func unpack(dir string, archive *txtar.Archive, prefix string) error {
	for _, f := range archive.Files {
		base := filepath.Base(f.Name)
		name, ok := strings.CutPrefix(f.Name, prefix)
		if !ok || strings.HasPrefix(name, "after/") || base == load.File ||
			!strings.HasSuffix(base, ".go") && base != "go.mod" {
			continue
		}
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(file, f.Data, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// section returns a file of an archive.
func section(archive *txtar.Archive, name string) []byte {
	for _, f := range archive.Files {
		if f.Name == name {
			return f.Data
		}
	}
	return nil
}

// expect compares a file of a case with what it should be, or with -update writes it.
func expect(t *testing.T, s *space, name, file string, got []byte) {
	t.Helper()
	archive := s.archives[name]
	if bytes.Equal(section(archive, file), got) {
		return
	}
	if !*update {
		t.Errorf("%s is not as expected; with -update it becomes:\n%s", file, got)
		return
	}
	archive.Files = slices.DeleteFunc(archive.Files, func(f txtar.File) bool { return f.Name == file })
	archive.Files = append(archive.Files, txtar.File{Name: file, Data: got})
	path := filepath.Join("testdata", name+".txtar")
	if err := os.WriteFile(path, txtar.Format(archive), 0o644); err != nil {
		t.Fatal(err)
	}
}

// emitted returns the generated file of a package.
func emitted(t *testing.T, r *check.Result) []byte {
	t.Helper()
	for _, p := range r.Problems {
		t.Error(p)
	}
	if len(r.Source.Errors) > 0 {
		t.Fatal(r.Source.Errors)
	}
	data, err := emit.File(r)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// problems returns everything that is wrong with a case.
func (s *space) problems(name string) []*rule.Problem {
	var pkgs []*load.Package
	var results []*check.Result
	var problems []*rule.Problem
	for _, i := range s.byCase[name] {
		pkgs = append(pkgs, s.pkgs[i])
		results = append(results, s.results[i])
		problems = append(problems, s.results[i].Problems...)
	}
	problems = append(problems, check.Cycles(results)...)
	return append(problems, unlinked(pkgs, results)...)
}

func TestRefusals(t *testing.T) {
	s := loadCases(t)
	for _, entry := range rule.Table[1:] {
		name := "refusals/" + entry.ID
		t.Run(entry.ID, func(t *testing.T) {
			if len(s.byCase[name]) == 0 {
				t.Fatalf("the rule %s has no case in testdata/%s.txtar", entry.ID, name)
			}
			var got bytes.Buffer
			problems, found := s.problems(name), false
			for _, p := range problems {
				found = found || p.Rule.ID == entry.ID
				line := strings.ReplaceAll(p.Error(), filepath.Join(s.dir, name)+string(filepath.Separator), "")
				fmt.Fprintln(&got, line)
			}
			if !found {
				t.Errorf("the case does not break the rule: %v", problems)
			}
			expect(t, s, name, "want", got.Bytes())
		})
	}
}

func TestGoldens(t *testing.T) {
	s := loadCases(t)
	for name, archive := range s.archives {
		for _, i := range s.byCase[name] {
			rel := strings.TrimPrefix(strings.TrimPrefix(s.pkgs[i].Path, caseModule+"/"+name), "/")
			file := strings.TrimPrefix(rel+"/"+load.File, "/")
			if section(archive, file) != nil || strings.HasPrefix(name, "examples/") {
				t.Run(name, func(t *testing.T) {
					expect(t, s, name, file, emitted(t, s.results[i]))
				})
			}
		}
	}
}

// maxLines are half of the lines that Service Weaver generates for the same interfaces.
var maxLines = map[string]int{"hello": 138, "reverser": 138, "collatz": 222, "factors": 163}

func TestGeneratedLines(t *testing.T) {
	s := loadCases(t)
	for name, limit := range maxLines {
		indexes := s.byCase["examples/"+name]
		if len(indexes) != 1 {
			t.Fatalf("example %s is missing", name)
		}
		lines := 0
		for line := range strings.Lines(string(emitted(t, s.results[indexes[0]]))) {
			if strings.TrimSpace(line) != "" {
				lines++
			}
		}
		t.Logf("%s: %d lines", name, lines)
		if lines > limit {
			t.Errorf("%s has %d generated lines, more than %d", name, lines, limit)
		}
	}
}

func TestLinesFit(t *testing.T) {
	s := loadCases(t)
	for i, r := range s.results {
		if len(r.Problems)+len(r.Source.Errors) > 0 {
			continue
		}
		for n, line := range strings.Split(string(emitted(t, r)), "\n") {
			if columns := len([]rune(strings.ReplaceAll(line, "\t", "    "))); columns > 100 {
				t.Errorf("%s: line %d has %d columns: %s", s.pkgs[i].Path, n+1, columns, line)
			}
		}
	}
}

// TestRun compiles what is generated for the cases that are right, and runs one program with the
// Check functions of them all: see testdata/both.txtar.
func TestRun(t *testing.T) {
	s := loadCases(t)
	var imports, calls strings.Builder
	for _, name := range slices.Sorted(maps.Keys(s.byCase)) {
		if !strings.HasPrefix(name, "ok/") && !strings.HasPrefix(name, "examples/") {
			continue
		}
		for _, i := range s.byCase[name] {
			if data := emitted(t, s.results[i]); data != nil {
				writeFile(t, filepath.Join(s.pkgs[i].Dir, load.File), data)
			}
			if s.pkgs[i].Types.Scope().Lookup("Check") != nil {
				alias := "case" + strings.TrimPrefix(name, "ok/")
				fmt.Fprintf(&imports, "%s %q\n", alias, s.pkgs[i].Path)
				fmt.Fprintf(&calls, "run(%q, %s.Check)\n", name, alias)
			}
		}
	}
	if t.Failed() {
		return
	}
	goCommand(t, s.dir, "vet", "-composites=false", "./ok/...", "./examples/...")
	writeFile(t, filepath.Join(s.dir, "run", "main.go"), fmt.Appendf(nil, `package main

import (
	"fmt"

	"example.com/gen/both"
	%s)

func run(name string, check func(*both.T)) {
	t := &both.T{Name: name}
	check(t)
	if !t.Failed {
		fmt.Println("ok", name)
	}
}

func main() {
	%s}
`, imports.String(), calls.String()))
	out := goCommand(t, s.dir, "run", "./run")
	for line := range strings.Lines(out) {
		if !strings.HasPrefix(line, "ok ") {
			t.Errorf("%s", line)
		}
	}
	if got := strings.Count(out, "ok "); got < 10 {
		t.Errorf("only %d cases passed:\n%s", got, out)
	}
}

// TestStale changes sources after code was generated for them, and looks at what the compiler
// says.
func TestStale(t *testing.T) {
	s := loadCases(t)
	for name, indexes := range s.byCase {
		if !strings.HasPrefix(name, "stale/") {
			continue
		}
		for _, i := range indexes {
			if data := emitted(t, s.results[i]); data != nil {
				writeFile(t, filepath.Join(s.pkgs[i].Dir, load.File), data)
			}
		}
		if err := unpack(filepath.Join(s.dir, name), s.archives[name], "after/"); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), "go", "build", "./stale/...")
	cmd.Dir = s.dir
	out, err := cmd.CombinedOutput()
	if err == nil {
		t.Fatal("stale code compiles")
	}
	messages := map[string]string{} // by package
	for part := range strings.SplitSeq(string(out), "# "+caseModule+"/") {
		name, text, _ := strings.Cut(part, "\n")
		messages[name] = text
	}
	for name := range s.byCase {
		if !strings.HasPrefix(name, "stale/") {
			continue
		}
		text, fails := messages[name]
		switch {
		case name == "stale/fresh":
			if fails {
				t.Errorf("code that is fresh does not compile:\n%s", text)
			}
		case !fails:
			t.Errorf("%s compiles", name)
		case !strings.Contains(text, "run_divisi_generate"):
			t.Errorf("%s: the compiler does not say what to run:\n%s", name, text)
		default:
			first, _, _ := strings.Cut(text, "\n")
			t.Logf("%s: %s", name, first)
		}
	}
}

func writeFile(t *testing.T, file string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func goCommand(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}
