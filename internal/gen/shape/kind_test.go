package shape

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"testing"
)

// TestUnknownKinds gives a kind that nobody has heard of to what depends on kinds.
func TestUnknownKinds(t *testing.T) {
	unknown := &Shape{Kind: Proto + 1}
	for name, f := range map[string]func(){
		"layout":   func() { (&layoutWriter{seen: map[string]bool{}}).shape(unknown) },
		"children": func() { unknown.Parts() },
		"Shared":   func() { unknown.Shared() },
		"MinSize":  func() { unknown.MinSize() },
	} {
		panics := func() (thrown bool) {
			defer func() { thrown = recover() != nil }()
			f()
			return false
		}
		if !panics() {
			t.Errorf("%s has an answer for a kind that does not exist", name)
		}
	}
}

// TestSwitchesOverKinds finds every switch over the kinds of shapes: its default panics, so that a
// kind without a case is noticed in the first test that uses it.
func TestSwitchesOverKinds(t *testing.T) {
	var files []string
	for _, pattern := range []string{"*.go", "../check/*.go", "../emit/*.go"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	fset, switches := token.NewFileSet(), 0
	for _, name := range files {
		file, err := parser.ParseFile(fset, name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			s, ok := n.(*ast.SwitchStmt)
			if !ok {
				return true
			}
			if sel, ok := s.Tag.(*ast.SelectorExpr); !ok || sel.Sel.Name != "Kind" {
				return true
			}
			switches++
			if !slices.ContainsFunc(s.Body.List, isPanickingDefault) {
				t.Errorf("%v: the default of a switch over kinds does not panic", fset.Position(s.Pos()))
			}
			return true
		})
	}
	if switches < 8 {
		t.Errorf("only %d switches were found", switches)
	}
}

func isPanickingDefault(stmt ast.Stmt) bool {
	clause := stmt.(*ast.CaseClause)
	if clause.List != nil || len(clause.Body) != 1 {
		return false
	}
	expr, ok := clause.Body[0].(*ast.ExprStmt)
	if !ok {
		return false
	}
	call, ok := expr.X.(*ast.CallExpr)
	if !ok {
		return false
	}
	f, ok := call.Fun.(*ast.Ident)
	return ok && f.Name == "panic"
}
