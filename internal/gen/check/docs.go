package check

import (
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"path/filepath"
	"strings"
)

// docs knows what source says about interfaces that types do not: the comments of methods, and
// which are marked as not retriable. An interface of a dependency, of which there is export
// data only, is looked up in its source by the positions in that data.
type docs struct {
	marked  map[string]bool         // "path.Interface.Method", by type or by syntax
	sharing map[string]map[int]bool // by file: the lines with the names of shared methods
	dirs    map[string]bool         // that have been read
}

func newDocs(fset *token.FileSet, files []*ast.File) *docs {
	d := &docs{
		marked:  map[string]bool{},
		sharing: map[string]map[int]bool{},
		dirs:    map[string]bool{},
	}
	for _, file := range files {
		d.file(fset, file)
	}
	return d
}

func (d *docs) file(fset *token.FileSet, file *ast.File) {
	lines := map[int]bool{}
	for _, pos := range sharedMethods(file) {
		lines[fset.Position(pos).Line] = true
	}
	d.sharing[fset.Position(file.Package).Filename] = lines
}

// shared reports whether a method of an interface has the directive.
func (d *docs) shared(fset *token.FileSet, f *types.Func) bool {
	pos := fset.Position(f.Pos())
	if _, ok := d.sharing[pos.Filename]; !ok {
		d.dir(pos.Filename, f.Pkg().Path())
	}
	return d.sharing[pos.Filename][pos.Line]
}

// notRetriable reports whether a method of an interface is marked in the package that is
// checked or in that of the interface.
func (d *docs) notRetriable(fset *token.FileSet, f *types.Func, iface types.Type) bool {
	obj := types.Unalias(iface).(*types.Named).Obj()
	file := fset.Position(obj.Pos()).Filename
	if _, ok := d.sharing[file]; !ok {
		d.dir(file, obj.Pkg().Path())
	}
	return d.marked[fullName(obj)+"."+f.Name()]
}

// dir reads the files beside a file of a dependency. What cannot be read says nothing.
func (d *docs) dir(file, path string) {
	dir := filepath.Dir(file)
	if d.dirs[dir] {
		return
	}
	d.dirs[dir] = true
	files, _ := filepath.Glob(filepath.Join(dir, "*.go"))
	fset := token.NewFileSet()
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(fset, name, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			continue
		}
		d.file(fset, f)
		for _, expr := range markedExprs(f, func(t ast.Expr) bool {
			sel, ok := t.(*ast.SelectorExpr)
			return ok && sel.Sel.Name == "NotRetriable"
		}) {
			if sel, ok := expr.(*ast.SelectorExpr); ok {
				if iface, ok := sel.X.(*ast.Ident); ok {
					d.marked[path+"."+iface.Name+"."+sel.Sel.Name] = true
				}
			}
		}
	}
}

// markedExprs returns the values of var _ T = value, for types that are picked.
func markedExprs(file *ast.File, pick func(ast.Expr) bool) []ast.Expr {
	var found []ast.Expr
	for _, decl := range file.Decls {
		d, ok := decl.(*ast.GenDecl)
		if !ok || d.Tok != token.VAR {
			continue
		}
		for _, spec := range d.Specs {
			s := spec.(*ast.ValueSpec)
			if s.Type != nil && pick(s.Type) {
				found = append(found, s.Values...)
			}
		}
	}
	return found
}

// notRetriableMarks reads the marks of the package that is checked.
func (c *checker) notRetriableMarks() {
	for _, file := range c.pkg.Syntax {
		for _, expr := range markedExprs(file, func(t ast.Expr) bool {
			return isRoot(c.pkg.Info.TypeOf(t), "NotRetriable")
		}) {
			sel, _ := ast.Unparen(expr).(*ast.SelectorExpr)
			selection := c.pkg.Info.Selections[sel]
			if selection == nil || selection.Kind() != types.MethodExpr || !types.IsInterface(selection.Recv()) {
				c.refuse(expr.Pos(), ruleNotRetriable, types.ExprString(expr))
				continue
			}
			if named, ok := types.Unalias(selection.Recv()).(*types.Named); ok {
				c.docs.marked[fullName(named.Obj())+"."+sel.Sel.Name] = true
			}
		}
	}
}
