package arch

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/divisi-go/divisi"

// floors lists every package of the repository by the floor it stands on, the lowest first. A
// package imports only packages of lower floors and those in its own folder.
var floors = [][]string{
	{"internal/name", "internal/inherit", "internal/interrupt", "internal/notify", "internal/memfd", "internal/trace", "internal/call/memnet", "internal/call/admission", "internal/call/lifetime", "internal/proc", "internal/shard", "internal/flat", "internal/clock", "internal/logline", "internal/whole", "internal/namespace", "internal/site", "artifact", "servlet"},
	{"internal/keeper/frame", "internal/wire", "internal/identity", "internal/config", "internal/selection", "internal/lifecycle", "internal/place", "internal/rollout", "internal/event", "internal/home", "internal/roster",
		"metrics", "metadata", "internal/message", "internal/family", "internal/probe", "internal/key", "envelope/colors", "lab", "ssh"},
	{"discover", "internal/artifact", "internal/role", "internal/drain", "internal/tree", "internal/call/link", "internal/logger", "codegen", "envelope/metrics", "envelope/protos", "envelope/protomsg", "envelope/prototext", "envelope/logging", "envelope/runtime"},
	{"internal/call", "internal/tally", "internal/pipe", "internal/keeper", "internal/gen", "internal/control", "serve"},
	{"httpd", "store", "internal/ensemble", "internal/call/balance", "internal/call/calltest", "internal/weavelet", "internal/session", "envelope", "internal/keeper/door", "internal/server", "internal/supervision"},
	{"internal/process", "internal/survey", "internal/replica", "internal/program", "internal/claimed"},
	{".", "internal/deployer", "internal/operator", "internal/agent"},
	{"internal/launch", "internal/hosts", "internal/local", "internal/sandbox", "internal/ward"},
	{"internal/application"},
	{"system"},
	{"divisitest", "opentelemetry", "resolver", "oci", "cmd/divisigen", "examples", "internal/arch"},
	{"cmd/divisi/telemetry", "cmd/divisi/build", "cmd/divisi/screen", "cmd/divisi/library", "cmd/divisi/pid1"},
	{"cmd/divisi/console"},
	{"cmd/divisi/unit", "cmd/divisi/contexts", "cmd/divisi/editor", "cmd/divisi/estate", "cmd/divisi/view"},
	{"cmd/divisi/dashboard"},
	{"cmd/divisi/run", "cmd/divisi/server", "cmd/divisi/keeper", "cmd/divisi/lab", "cmd/divisi/pack", "cmd/divisi/host", "cmd/divisi/site", "cmd/divisi/migrate", "cmd/divisi/store", "cmd/divisi/zone"},
	{"cmd/divisi/subject"},
	{"cmd/divisi/operate", "cmd/divisi/ensembles"},
	{"cmd/divisi/halt", "cmd/divisi/visit", "cmd/divisi/push", "cmd/divisi/lookup", "cmd/divisi/configure"},
	{"cmd/divisi/cli"},
	{"cmd/divisi", "e2e"},
}

// foreign lists the packages from elsewhere that a folder of the root module may import.
var foreign = map[string][]string{
	"internal/config": {"github.com/pelletier/go-toml/v2"},
	"internal/gen":    {"golang.org/x/tools"},
	"internal/arch":   {"golang.org/x/tools"},
	"internal/tree":   {"golang.org/x/tools"},
}

var update = flag.Bool("update", false, "draw the floors in ARCHITECTURE.md")

// TestDrawing: the floors in ARCHITECTURE.md are those of the table.
func TestDrawing(t *testing.T) {
	const file = "../../ARCHITECTURE.md"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	_, floorsOn, found := strings.Cut(string(text), "\n## Floors\n")
	begin := len(text) - len(floorsOn) + strings.Index(floorsOn, "```\n") + len("```\n")
	end := begin + strings.Index(string(text[begin:]), "```\n")
	if !found || end < begin {
		t.Fatalf("%s has no drawing under \"## Floors\"", file)
	}
	if string(text[begin:end]) == drawing() {
		return
	}
	if !*update {
		t.Fatalf("the floors in %s are not those of the table: go test ./internal/arch -update", file)
	}
	drawn := string(text[:begin]) + drawing() + string(text[end:])
	if err := os.WriteFile(file, []byte(drawn), 0o644); err != nil {
		t.Fatal(err)
	}
}

// drawing draws the floors, the highest first, in lines that are not too long.
func drawing() string {
	const width = 96
	var b strings.Builder
	for i, packages := range slices.Backward(floors) {
		line := fmt.Sprintf("%2d", i)
		for _, p := range packages {
			if p == "." {
				p = "divisi (the root package)"
			}
			if len(line)+len(p) > width {
				fmt.Fprintln(&b, line)
				line = "  "
			}
			line += "  " + p
		}
		fmt.Fprintln(&b, line)
	}
	return b.String()
}

type source struct {
	file    string // path from the repository's root
	pkg     string // its folder
	syntax  *ast.File
	set     *token.FileSet
	lines   int
	imports []string
}

// sources parses every Go file of the repository but those that tests keep as data. The test
// runner sees these reads, so a cached result is never older than the source.
func sources(t *testing.T) []source {
	t.Helper()
	root := os.DirFS("../..")
	var list []source
	err := fs.WalkDir(root, ".", func(file string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "testdata" || d.Name() == ".git" || file == "build"):
			return fs.SkipDir
		case d.IsDir() || path.Ext(file) != ".go":
			return nil
		}
		text, err := fs.ReadFile(root, file)
		if err != nil {
			return err
		}
		set := token.NewFileSet()
		syntax, err := parser.ParseFile(set, file, text, parser.ParseComments)
		if err != nil {
			return err
		}
		s := source{
			file: file, pkg: path.Dir(file), syntax: syntax, set: set,
			lines: strings.Count(string(text), "\n"),
		}
		for _, spec := range syntax.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			s.imports = append(s.imports, imported)
		}
		list = append(list, s)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(list) < 20 {
		t.Fatalf("only %d files found: the walk has missed the repository", len(list))
	}
	return list
}

func isTest(file string) bool { return strings.HasSuffix(file, "_test.go") }

func isGenerated(file string) bool {
	name := path.Base(file)
	return strings.HasPrefix(name, "divisi_gen") || name == "weaver_gen.go" || strings.HasSuffix(file, ".pb.go")
}

// floor returns the floor and the entry of floors that a folder belongs to.
func floor(pkg string) (int, string) {
	best, entry := -1, ""
	for i, packages := range floors {
		for _, p := range packages {
			if (p == pkg || strings.HasPrefix(pkg, p+"/")) && len(p) > len(entry) {
				best, entry = i, p
			}
		}
	}
	return best, entry
}

func TestImportsRunDownward(t *testing.T) {
	for _, s := range sources(t) {
		from, entry := floor(s.pkg)
		if strings.HasPrefix(s.pkg, "conformance") || strings.HasPrefix(s.pkg, "bench") {
			continue // modules of their own, which may look at everything
		}
		if from < 0 {
			t.Errorf("%s: the folder %s stands on no floor: add it to floors", s.file, s.pkg)
			continue
		}
		for _, imported := range s.imports {
			if imported == module {
				imported = module + "/."
			}
			target, ours := strings.CutPrefix(imported, module+"/")
			if !ours || isTest(s.file) {
				continue
			}
			to, toEntry := floor(target)
			if to < 0 || to > from || to == from && toEntry != entry {
				t.Errorf("%s (floor %d) imports %s (floor %d): imports run downward only",
					s.file, from, imported, to)
			}
		}
	}
}

func TestRootModuleImportsLittle(t *testing.T) {
	for _, s := range sources(t) {
		if moduleOf(s.pkg) != "" {
			continue
		}
		_, entry := floor(s.pkg)
		for _, imported := range s.imports {
			first, _, _ := strings.Cut(imported, "/")
			if !strings.Contains(first, ".") || strings.HasPrefix(imported, module) {
				continue
			}
			if !slices.ContainsFunc(foreign[entry], func(p string) bool {
				return imported == p || strings.HasPrefix(imported, p+"/")
			}) {
				t.Errorf("%s imports %s: the root module decides versions in its users' builds",
					s.file, imported)
			}
		}
	}
}

// pure are the packages that decide and do nothing: no clock, no goroutine, no system.
var pure = []string{"internal/name", "internal/call/admission", "internal/wire", "internal/lifecycle", "internal/place", "internal/rollout", "internal/tree", "lab/fabric", "lab/disk"}

func TestCoresArePure(t *testing.T) {
	banned := []string{"os", "os/exec", "net", "net/http", "syscall"}
	for _, s := range sources(t) {
		if !slices.Contains(pure, s.pkg) || isTest(s.file) {
			continue
		}
		for _, imported := range s.imports {
			if slices.Contains(banned, imported) {
				t.Errorf("%s imports %s", s.file, imported)
			}
		}
		ast.Inspect(s.syntax, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.GoStmt:
				t.Errorf("%s starts a goroutine", s.file)
			case *ast.SelectorExpr:
				x, ok := n.X.(*ast.Ident)
				clock := ok && x.Name == "time" && slices.Contains(
					[]string{"Now", "Sleep", "After", "AfterFunc", "NewTimer", "Since", "Until"}, n.Sel.Name)
				if clock {
					t.Errorf("%s uses time.%s", s.file, n.Sel.Name)
				}
			}
			return true
		})
	}
}

func TestNoHandWrittenInit(t *testing.T) {
	for _, s := range sources(t) {
		if isGenerated(s.file) {
			continue
		}
		for _, decl := range s.syntax.Decls {
			if f, ok := decl.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
				t.Errorf("%s has an init function", s.file)
			}
		}
	}
}

func TestTestsDoNotSleep(t *testing.T) {
	for _, s := range sources(t) {
		if !isTest(s.file) || slices.Contains(s.imports, "testing/synctest") {
			continue
		}
		ast.Inspect(s.syntax, func(n ast.Node) bool {
			sel, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			if x, ok := sel.X.(*ast.Ident); ok && x.Name == "time" && sel.Sel.Name == "Sleep" {
				t.Errorf("%s sleeps: wait for the condition, or use testing/synctest", s.file)
			}
			return true
		})
	}
}

// TestStoreStaysApart: the store and all of etcd with it are in programs that ask for them, and in no other.
func TestStoreStaysApart(t *testing.T) {
	for _, s := range sources(t) {
		if slices.Contains([]string{"store", "examples/embedded", "conformance", "bench"}, moduleOf(s.pkg)) {
			continue
		}
		for _, imported := range s.imports {
			if imported == module+"/store" || strings.HasPrefix(imported, module+"/store/") || strings.HasPrefix(imported, "go.etcd.io/") {
				t.Errorf("%s imports %s", s.file, imported)
			}
		}
	}
}

// modules are the folders with a go.mod of their own.
var modules = []string{"cmd/divisi", "opentelemetry", "resolver", "lab", "servlet", "ssh", "store", "oci", "e2e", "conformance", "bench", "examples/embedded", "examples/orderd", "examples/postgres"}

// moduleOf returns the folder of the module that a package belongs to, "" for the root module.
func moduleOf(pkg string) string {
	for _, m := range modules {
		if pkg == m || strings.HasPrefix(pkg, m+"/") {
			return m
		}
	}
	return ""
}
