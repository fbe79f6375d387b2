package gen

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strconv"

	"github.com/divisi-go/divisi/codegen"
	"github.com/divisi-go/divisi/internal/gen/check"
	"github.com/divisi-go/divisi/internal/gen/load"
	"github.com/divisi-go/divisi/internal/gen/rule"
)

// unlinked returns warnings about components that programs among the packages use and do not
// hold. Packages that were not loaded are known by their generated files.
func unlinked(pkgs []*load.Package, results []*check.Result) []*rule.Problem {
	infos := map[string][]codegen.Info{}
	for i, r := range results {
		for _, comp := range r.Components {
			infos[pkgs[i].Path] = append(infos[pkgs[i].Path], comp.Info)
		}
	}
	var problems []*rule.Problem
	for i, r := range results {
		main := false
		for _, comp := range r.Components {
			main = main || comp.Info.Main
		}
		if !main {
			continue
		}
		var linked []codegen.Info
		for path, dir := range pkgs[i].Dependencies() {
			known, ok := infos[path]
			if !ok {
				known = described(filepath.Join(dir, load.File))
				infos[path] = known
			}
			linked = append(linked, known...)
		}
		problems = append(problems, check.Unlinked(r, linked, results)...)
	}
	return problems
}

// described returns the descriptions of components in a generated file, none if it cannot be
// read.
func described(file string) []codegen.Info {
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
	if err != nil {
		return nil
	}
	var infos []codegen.Info
	ast.Inspect(f, func(n ast.Node) bool {
		expr, ok := n.(ast.Expr)
		if !ok {
			return true
		}
		text, ok := constant(expr)
		if !ok {
			return true
		}
		if info, err := codegen.ParseInfo(text); err == nil {
			infos = append(infos, info)
		}
		return false
	})
	return infos
}

// constant returns the value of a string literal, or of several added up.
func constant(expr ast.Expr) (string, bool) {
	switch e := expr.(type) {
	case *ast.BasicLit:
		text, err := strconv.Unquote(e.Value)
		return text, err == nil && e.Kind == token.STRING
	case *ast.BinaryExpr:
		left, ok := constant(e.X)
		right, ok2 := constant(e.Y)
		return left + right, ok && ok2
	}
	return "", false
}
