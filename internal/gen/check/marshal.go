package check

import (
	"go/ast"
	"go/types"

	"github.com/divisi-go/divisi/internal/gen/shape"
)

// marshals finds the structs that embed AutoMarshal and have something that generated code of
// other packages cannot see: they get methods that it can call instead.
func (c *checker) marshals() {
	c.eachStruct(func(spec *ast.TypeSpec, _ *ast.CommentGroup, named *types.Named) {
		if !shape.HasMethods(named) {
			return
		}
		s := c.shapes.Of(named)
		if way, bad := s.Unfit(); bad != nil {
			c.refuse(spec.Pos(), bad.Rule, named.Obj().Name()+way, c.typeString(bad.Type))
			return
		}
		c.result.Marshals = append(c.result.Marshals, s)
	})
}
