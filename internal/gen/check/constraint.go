package check

import (
	"go/types"

	"github.com/divisi-go/divisi/internal/gen/rule"
)

// constraint finds out when the generated file can be built: only together with what it is about.
func (c *checker) constraint() {
	var first *types.TypeName
	check := func(obj *types.TypeName) {
		condition := c.builtIf(obj)
		if first == nil {
			first, c.result.Constraint = obj, condition
			return
		}
		if condition != c.result.Constraint {
			c.refuse(obj.Pos(), rule.Constraint,
				obj.Name(), builtText(condition), first.Name(), builtText(c.result.Constraint))
		}
	}
	for _, comp := range c.result.Components {
		check(comp.Impl.Obj())
	}
	for _, s := range c.result.Marshals {
		check(s.Named().Obj())
	}
}

// builtIf returns the condition under which the package has something. What files for other
// conditions declare as well, it always has.
func (c *checker) builtIf(obj types.Object) string {
	if c.pkg.Elsewhere[obj.Name()] {
		return ""
	}
	return c.pkg.Constraint(obj.Pos())
}

func builtText(condition string) string {
	if condition == "" {
		return "always"
	}
	return "if " + condition
}
