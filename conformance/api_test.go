package conformance

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// missing is what Service Weaver v0.24 exports to applications and Divisi does not, and why.
var missing = map[string]string{
	"weaver.AutoMarshal.WeaverMarshal":   "of generated code: what it did is in divisi_gen.go",
	"weaver.AutoMarshal.WeaverUnmarshal": "the same",
	"weaver.Unrouted":                    "the same",
	"weavertest.DefaultReplication":      "a test says how many replicas there are in its configuration",
}

// TestAPI: all that applications of Service Weaver can refer to is there under the same name, but for what is missing.
func TestAPI(t *testing.T) {
	printed, err := exec.CommandContext(t.Context(), "go", "mod", "download", "-json", "github.com/ServiceWeaver/weaver@v0.24.6").Output()
	var module struct{ Dir, Error string }
	if jsonErr := json.Unmarshal(printed, &module); jsonErr != nil || err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("the source of Service Weaver v0.24.6: %v, %v, %s", err, jsonErr, module.Error)
		}
		t.Skipf("the source of Service Weaver v0.24.6 cannot be had: %v, %s", err, module.Error)
	}

	left := map[string]bool{}
	for name := range missing {
		left[name] = true
	}
	for theirs, ours := range map[string]string{".": ".", "metrics": "metrics", "metadata": "metadata", "weavertest": "divisitest"} {
		here := exported(t, filepath.Join("..", ours))
		for name := range exported(t, filepath.Join(module.Dir, theirs)) {
			full := "weaver." + name
			if theirs != "." {
				full = theirs + "." + name
			}
			_, known := missing[full]
			delete(left, full)
			if !here[name] && !known {
				t.Errorf("%s is missing", full)
			}
			if here[name] && known {
				t.Errorf("%s is called missing, and is there", full)
			}
		}
	}
	for name := range left {
		t.Errorf("%s is called missing, and Service Weaver does not have it", name)
	}
}

// exported returns what a package exports: names, and TYPE.NAME for methods and fields, also those of what is embedded.
func exported(t *testing.T, dir string) map[string]bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	embeds := map[string][]string{}
	note := func(of string, ids ...*ast.Ident) {
		for _, id := range ids {
			if id.IsExported() {
				names[strings.TrimPrefix(of+"."+id.Name, ".")] = true
			}
		}
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") || strings.HasSuffix(file, "_gen.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range parsed.Decls {
			switch d := decl.(type) {
			case *ast.FuncDecl:
				of := ""
				if d.Recv != nil {
					of = base(d.Recv.List[0].Type)
				}
				note(of, d.Name)
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					switch s := spec.(type) {
					case *ast.ValueSpec:
						note("", s.Names...)
					case *ast.TypeSpec:
						note("", s.Name)
						if structure, ok := s.Type.(*ast.StructType); ok {
							for _, f := range structure.Fields.List {
								note(s.Name.Name, f.Names...)
								if len(f.Names) == 0 {
									embeds[s.Name.Name] = append(embeds[s.Name.Name], base(f.Type))
								}
							}
						}
					}
				}
			}
		}
	}
	for of, inner := range embeds {
		for name := range names {
			if part, rest, ok := strings.Cut(name, "."); ok && slices.Contains(inner, part) {
				names[of+"."+rest] = true
			}
		}
	}
	for name := range names {
		if !ast.IsExported(name) {
			delete(names, name)
		}
	}
	return names
}

// base returns the name of a type without pointers and type parameters.
func base(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.StarExpr:
		return base(e.X)
	case *ast.IndexExpr:
		return base(e.X)
	case *ast.IndexListExpr:
		return base(e.X)
	case *ast.SelectorExpr:
		return e.Sel.Name
	case *ast.Ident:
		return e.Name
	}
	return ""
}
