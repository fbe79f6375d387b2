package protos

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestAll: whatever the messages' own package exports about messages is here under the same name.
func TestAll(t *testing.T) {
	frames := []string{"MaxSize", "Read", "Write"} // which are in the package protomsg
	here := exported(t, ".")
	for _, name := range slices.Sorted(maps.Keys(exported(t, "../../internal/message"))) {
		if !here[name] && !slices.Contains(frames, name) {
			t.Errorf("%s is missing", name)
		}
	}
}

// exported returns the names that the package in a folder exports.
func exported(t *testing.T, dir string) map[string]bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		syntax, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for name := range syntax.Scope.Objects {
			if ast.IsExported(name) {
				names[name] = true
			}
		}
	}
	return names
}
