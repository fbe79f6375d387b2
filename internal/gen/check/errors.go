package check

import (
	"go/types"
	"strings"

	"github.com/divisi-go/divisi/internal/gen/shape"
)

// sqlPath is the package whose errors are registered in packages that import it.
const sqlPath = "database/sql"

// errors finds the errors that keep their identity between processes: the package's own, and
// those it is likely to return or to ask for.
func (c *checker) errors() {
	c.errorsOf(c.pkg.Types, true)
	ifaces := map[*types.Package]bool{}
	for _, comp := range c.result.Components {
		if named, ok := types.Unalias(comp.Iface).(*types.Named); ok {
			ifaces[named.Obj().Pkg()] = true
		}
	}
	for _, p := range c.pkg.Imports() {
		near := c.pkg.Module != "" && c.pkg.ModuleOf(p.Path()) == c.pkg.Module
		if !known(p.Path()) && (near || ifaces[p] || p.Path() == sqlPath) {
			c.errorsOf(p, near || ifaces[p])
		}
	}
}

// known reports whether the runtime knows a package's errors without being told.
func known(path string) bool {
	return path == shape.Root || strings.HasPrefix(path, shape.Root+"/codegen")
}

func (c *checker) errorsOf(p *types.Package, withTypes bool) {
	for _, name := range p.Scope().Names() {
		obj := p.Scope().Lookup(name)
		if p != c.pkg.Types && !obj.Exported() {
			continue
		}
		condition := c.builtIf(obj)
		if p == c.pkg.Types && condition != "" && condition != c.result.Constraint {
			continue // the generated file is built without it as well
		}
		switch obj := obj.(type) {
		case *types.Var:
			if isError(obj.Type()) {
				c.result.Sentinels = append(c.result.Sentinels, obj)
			}
		case *types.TypeName:
			if withTypes && !obj.IsAlias() {
				c.errorType(obj)
			}
		}
	}
}

// errorType adds a type of errors if it can be encoded. One whose Error method belongs to the
// value is used by value and by pointer.
func (c *checker) errorType(obj *types.TypeName) {
	named, ok := obj.Type().(*types.Named)
	if !ok || named.TypeParams().Len() > 0 || types.IsInterface(named) {
		return
	}
	iface := types.Universe.Lookup("error").Type().Underlying().(*types.Interface)
	ptr := types.NewPointer(named)
	if !types.Implements(ptr, iface) {
		return
	}
	if _, bad := c.shapes.Of(ptr).Unfit(); bad != nil {
		return
	}
	if _, bad := c.shapes.Of(named).Unfit(); bad == nil && types.Implements(named, iface) {
		c.result.ErrorTypes = append(c.result.ErrorTypes, c.shapes.Of(named))
	}
	c.result.ErrorTypes = append(c.result.ErrorTypes, c.shapes.Of(ptr))
}
