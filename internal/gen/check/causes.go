package check

import (
	"go/ast"
	"go/types"

	"github.com/divisi-go/divisi/internal/gen/rule"
	"github.com/divisi-go/divisi/internal/gen/shape"
)

// causes finds the mistakes with components because of which a package may not compile. What the
// compiler says about those is of no help.
func (c *checker) causes() {
	c.eachStruct(func(_ *ast.TypeSpec, _ *ast.CommentGroup, impl *types.Named) {
		s := impl.Underlying().(*types.Struct)
		if !embeds(s, "Implements") {
			return
		}
		for f := range s.Fields() {
			for _, kind := range []string{"Ref", "Direct"} {
				if arg, _ := rootArg(f.Type(), kind); arg != nil && valid(arg) {
					c.reference(arg, f.Pos(), impl.Obj().Name()+"."+f.Name())
				}
			}
		}
	})
	for _, file := range c.pkg.Syntax {
		ast.Inspect(file, func(n ast.Node) bool {
			if call, ok := n.(*ast.CallExpr); ok {
				c.run(call)
			}
			return true
		})
	}
}

// run refuses a call of divisi.Run with a main component that is none.
func (c *checker) run(call *ast.CallExpr) {
	sel, ok := call.Fun.(*ast.SelectorExpr)
	if !ok || len(call.Args) != 2 {
		return
	}
	f, ok := c.pkg.Info.Uses[sel.Sel].(*types.Func)
	if !ok || f.FullName() != shape.Root+".Run" {
		return
	}
	body, ok := c.pkg.Info.TypeOf(call.Args[1]).(*types.Signature)
	if !ok || body.Params().Len() != 2 {
		return
	}
	ptr, ok := types.Unalias(body.Params().At(1).Type()).(*types.Pointer)
	if !ok {
		return
	}
	s, ok := ptr.Elem().Underlying().(*types.Struct)
	if ok && !embeds(s, "Implements") {
		c.refuse(call.Args[1].Pos(), rule.MainEmbedding, c.typeString(ptr.Elem()))
	}
}

// embeds reports whether a struct embeds the root package's generic type with a name.
func embeds(s *types.Struct, name string) bool {
	for f := range s.Fields() {
		if arg, _ := rootArg(f.Type(), name); arg != nil && f.Embedded() {
			return true
		}
	}
	return false
}

// valid reports whether the type checker knows a type.
func valid(t types.Type) bool {
	basic, ok := types.Unalias(t).(*types.Basic)
	return !ok || basic.Kind() != types.Invalid
}
