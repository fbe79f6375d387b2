package check

import (
	"go/ast"
	"go/token"
	"go/types"
	"iter"

	"github.com/divisi-go/divisi/internal/gen/load"
	"github.com/divisi-go/divisi/internal/gen/rule"
	"github.com/divisi-go/divisi/internal/gen/shape"
)

// docs knows what source says about methods of interfaces that types do not: which are shared, and
// which are marked as not retriable. Of a package that is imported, only export data is loaded. Its
// source is read when it is first asked about, and what it says is found by names: positions in export
// data need not be those of files.
type docs struct {
	pkg     *load.Package
	marked  map[string]bool // full name of an interface, a dot, and a method
	sources map[string]*source
}

// source is what one package says.
type source struct {
	err    error                      // why it cannot be read
	shared map[string]map[string]bool // methods by the type whose declaration has them
	same   map[string]typeName        // types that are declared as another one
}

// typeName is a type's name and the path of its package.
type typeName struct{ path, name string }

func newDocs(pkg *load.Package) *docs {
	d := &docs{pkg: pkg, marked: map[string]bool{}, sources: map[string]*source{}}
	d.sources[pkg.Path] = d.newSource(pkg.Path, pkg.Syntax)
	return d
}

func (d *docs) newSource(path string, files []*ast.File) *source {
	s := &source{shared: map[string]map[string]bool{}, same: map[string]typeName{}}
	for _, file := range files {
		for spec := range typeSpecs(file) {
			s.shared[spec.Name.Name] = map[string]bool{}
			for _, name := range sharedMethods(spec) {
				s.shared[spec.Name.Name][name] = true
			}
			if other, ok := d.named(file, path, spec.Type); ok {
				s.same[spec.Name.Name] = other
			}
		}
	}
	return s
}

// typeSpecs yields the types that a file declares at its top level, each with its comment.
func typeSpecs(file *ast.File) iter.Seq2[*ast.TypeSpec, *ast.CommentGroup] {
	return func(yield func(*ast.TypeSpec, *ast.CommentGroup) bool) {
		for _, decl := range file.Decls {
			d, ok := decl.(*ast.GenDecl)
			if !ok || d.Tok != token.TYPE {
				continue
			}
			for _, spec := range d.Specs {
				s := spec.(*ast.TypeSpec)
				doc := s.Doc
				if doc == nil && !d.Lparen.IsValid() {
					doc = d.Doc
				}
				if !yield(s, doc) {
					return
				}
			}
		}
	}
}

// named returns the name that an expression in a file of a package is, if it is one.
func (d *docs) named(file *ast.File, path string, expr ast.Expr) (typeName, bool) {
	switch e := ast.Unparen(expr).(type) {
	case *ast.Ident:
		return typeName{path, e.Name}, true
	case *ast.IndexExpr:
		return d.named(file, path, e.X)
	case *ast.IndexListExpr:
		return d.named(file, path, e.X)
	case *ast.SelectorExpr:
		if x, ok := e.X.(*ast.Ident); ok {
			return typeName{d.importedAs(file, x.Name), e.Sel.Name}, true
		}
	}
	return typeName{}, false
}

// importedAs returns the path that a file imports under a name, or "".
func (d *docs) importedAs(file *ast.File, name string) string {
	for _, spec := range file.Imports {
		if d.pkg.ImportName(spec) == name {
			return load.ImportPath(spec)
		}
	}
	return ""
}

// of returns what a package says.
func (d *docs) of(pkg *types.Package) *source {
	path := pkg.Path()
	if s, ok := d.sources[path]; ok {
		return s
	}
	files, err := d.pkg.Source(path)
	s := d.newSource(path, files)
	s.err = err
	d.sources[path] = s
	for _, file := range files {
		d.collectMarks(file, pkg)
	}
	return s
}

// declarers returns the interfaces that have a method, from the one that it is a method of to the one
// that declares it, without those that have no names. It reports whether there is such a method.
func declarers(t types.Type, method string) (found []*types.TypeName, ok bool) {
	if named, ok := types.Unalias(t).(*types.Named); ok {
		found = append(found, named.Obj())
	}
	iface, isInterface := t.Underlying().(*types.Interface)
	if !isInterface {
		return nil, false
	}
	for m := range iface.ExplicitMethods() {
		if m.Name() == method {
			return found, true
		}
	}
	for embedded := range iface.EmbeddedTypes() {
		if inner, ok := declarers(embedded, method); ok {
			return append(found, inner...), true
		}
	}
	return nil, false
}

// about is what is said about one method.
type about struct {
	shared       bool
	notRetriable bool
	unread       *types.TypeName // an interface that may say more, but cannot be read
	err          error           // why not
}

// method returns what is said about a method of an interface. A mark counts if it names the interface
// or one that it embeds.
func (d *docs) method(iface types.Type, method string) about {
	var a about
	interfaces, _ := declarers(iface, method)
	for _, obj := range interfaces {
		s := d.of(obj.Pkg())
		if s.err != nil {
			a.unread, a.err = obj, s.err
		}
		a.notRetriable = a.notRetriable || d.marked[shape.FullName(obj)+"."+method]
		a.shared = a.shared || d.sharedIn(typeName{obj.Pkg().Path(), obj.Name()}, method)
	}
	return a
}

// sharedIn reports whether the declaration of a type, or of the one that it is declared as, has a
// method that is shared.
func (d *docs) sharedIn(t typeName, method string) bool {
	for range 100 { // declarations cannot go in circles, but this is source that nobody has compiled
		s := d.sources[t.path]
		if s == nil {
			files, _ := d.pkg.Source(t.path)
			s = d.newSource(t.path, files)
			d.sources[t.path] = s
		}
		if s.shared[t.name][method] {
			return true
		}
		next, ok := s.same[t.name]
		if !ok {
			return false
		}
		t = next
	}
	return false
}

// collectMarks notes the marks in a file of a package that is imported. The interface may be named by an
// alias.
func (d *docs) collectMarks(file *ast.File, pkg *types.Package) {
	isMark := func(t ast.Expr) bool {
		name, ok := d.named(file, pkg.Path(), t)
		dot := d.importedAs(file, ".") == shape.Root
		return ok && name.name == "NotRetriable" && (name.path == shape.Root || dot)
	}
	for _, expr := range markedExprs(file, isMark) {
		sel, ok := ast.Unparen(expr).(*ast.SelectorExpr)
		if !ok {
			continue // its own generation refuses it
		}
		name, ok := d.named(file, pkg.Path(), sel.X)
		if !ok {
			continue
		}
		full := name.path + "." + name.name
		if alias, ok := pkg.Scope().Lookup(name.name).(*types.TypeName); ok && name.path == pkg.Path() {
			if target, ok := types.Unalias(alias.Type()).(*types.Named); ok {
				full = shape.FullName(target.Obj())
			}
		}
		d.marked[full+"."+sel.Sel.Name] = true
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
			return shape.IsRoot(c.pkg.Info.TypeOf(t), "NotRetriable")
		}) {
			sel, _ := ast.Unparen(expr).(*ast.SelectorExpr)
			selection := c.pkg.Info.Selections[sel]
			if selection == nil || selection.Kind() != types.MethodExpr || !types.IsInterface(selection.Recv()) {
				c.refuse(expr.Pos(), rule.NotRetriable, types.ExprString(expr))
				continue
			}
			if named, ok := types.Unalias(selection.Recv()).(*types.Named); ok {
				c.docs.marked[shape.FullName(named.Obj())+"."+sel.Sel.Name] = true
			}
		}
	}
}
