package check

import (
	"fmt"
	"go/types"
	"strings"

	"github.com/divisi-go/divisi/internal/gen/rule"
	"github.com/divisi-go/divisi/internal/gen/shape"
)

// Method is a method of a component interface.
type Method struct {
	Name         string
	Args         []*shape.Shape // after the context
	Variadic     bool           // the last argument is
	Results      []*shape.Shape // before the error
	Stream       *shape.Shape   // what a stream yields, nil for a call
	Signature    string         // in the words of the package, for messages
	Type         *types.Signature
	NotRetriable bool
	Shared       bool             // arguments and results of local calls are not copied
	Route        *types.Signature // the router's method, nil if it has none
	Layout       uint64
}

// methods returns a component's methods.
func (c *checker) methods(comp *Component) *Interface {
	key := componentName(comp.Iface)
	if comp.Router != nil {
		key += " " + comp.Router.String()
	}
	if known, ok := c.interfaces[key]; ok {
		for _, m := range known.Methods {
			comp.Info.Methods = append(comp.Info.Methods, m.Name)
		}
		return known
	}
	i := &Interface{Type: comp.Iface, Router: comp.Router}
	c.interfaces[key] = i
	iface := comp.Iface.Underlying().(*types.Interface)
	for f := range iface.Methods() {
		if m := c.method(comp, f); m != nil {
			i.Methods = append(i.Methods, m)
			comp.Info.Methods = append(comp.Info.Methods, m.Name)
		}
	}
	if comp.Router != nil {
		c.router(comp, i)
	}
	return i
}

func (c *checker) method(comp *Component, f *types.Func) *Method {
	name := c.typeString(comp.Iface)
	pos := f.Pos()
	if f.Pkg() != c.pkg.Types {
		pos = comp.pos // an own line helps more than one of a dependency
	}
	if !f.Exported() {
		c.refuse(pos, rule.MethodUnexported, f.Name(), name)
		return nil
	}

	said := c.docs.method(comp.Iface, f.Name())
	if said.err != nil {
		c.refuse(comp.pos, rule.Source, c.typeString(said.unread.Type()), f.Name(), said.err)
		return nil
	}
	sig := f.Signature()
	m := &Method{
		Name: f.Name(), Type: sig, Variadic: sig.Variadic(),
		NotRetriable: said.notRetriable, Shared: said.shared,
	}
	params, results := sig.Params(), sig.Results()
	if params.Len() == 0 || !isContext(params.At(0)) {
		do := "add one"
		for v := range params.Variables() {
			if isContext(v) {
				do = "move it there"
			}
		}
		c.refuse(pos, rule.MethodContext, f.Name(), name, do)
		return nil
	}
	before := len(c.problems)
	for i := 1; i < params.Len(); i++ {
		m.Args = append(m.Args, c.value(f, params.At(i), fmt.Sprintf("a%d", i-1), comp))
	}
	last := results.Len() - 1
	switch elem := c.streamElem(results); {
	case elem != nil:
		m.Stream = c.value(f, types.NewVar(pos, nil, "", elem), "element", comp)
	case last >= 0 && isStreamLike(results):
		c.refuse(pos, rule.MethodStream, f.Name(), name, c.typeString(results))
	case last < 0 || !isError(results.At(last).Type()):
		c.refuse(pos, rule.MethodError, f.Name(), name)
	default:
		for i := range last {
			m.Results = append(m.Results, c.value(f, results.At(i), fmt.Sprintf("r%d", i), comp))
		}
	}
	if len(c.problems) > before {
		return nil
	}
	m.Layout = shape.Layout(m.Args, m.Results, m.Stream)
	return m
}

func isContext(v *types.Var) bool {
	return types.Unalias(v.Type()).String() == "context.Context"
}

// value returns the shape of an argument or result, and refuses it if it cannot be encoded.
func (c *checker) value(f *types.Func, v *types.Var, word string, comp *Component) *shape.Shape {
	s := c.shapes.Of(v.Type())
	if way, bad := s.Unfit(); bad != nil {
		pos := v.Pos()
		if f.Pkg() != c.pkg.Types || !pos.IsValid() {
			pos = comp.pos
		}
		if v.Name() != "" && v.Name() != "_" {
			word = v.Name()
		}
		what := fmt.Sprintf("%s.%s: %s%s", c.typeString(comp.Iface), f.Name(), word, way)
		c.refuse(pos, bad.Rule, what, c.typeString(bad.Type))
	}
	return s
}

// streamElem returns T if the results are one iter.Seq2[T, error].
func (c *checker) streamElem(results *types.Tuple) types.Type {
	if results.Len() != 1 {
		return nil
	}
	named := seq(results.At(0).Type())
	if named == nil || named.TypeArgs().Len() != 2 || !isError(named.TypeArgs().At(1)) {
		return nil
	}
	return named.TypeArgs().At(0)
}

// isStreamLike reports whether one of the results is an iterator.
func isStreamLike(results *types.Tuple) bool {
	for v := range results.Variables() {
		if seq(v.Type()) != nil {
			return true
		}
	}
	return false
}

func seq(t types.Type) *types.Named {
	named, ok := types.Unalias(t).(*types.Named)
	if !ok || !strings.HasPrefix(shape.FullName(named.Obj()), "iter.Seq") {
		return nil
	}
	return named
}

func isError(t types.Type) bool {
	return types.Identical(t, types.Universe.Lookup("error").Type())
}

// router checks the methods of a component's router, and marks those of the component that it
// routes.
func (c *checker) router(comp *Component, i *Interface) {
	impl := comp.Impl.Obj().Name()
	named, ok := types.Unalias(comp.Router).(*types.Named)
	if ok {
		_, ok = named.Underlying().(*types.Struct)
	}
	if !ok || c.shapes.Unnameable(comp.Router) != 0 {
		c.refuse(comp.pos, rule.RouterType, impl, c.typeString(comp.Router))
		return
	}
	router := c.typeString(comp.Router)
	iface := comp.Iface.Underlying().(*types.Interface)
	set := types.NewMethodSet(types.NewPointer(named))
	found := false
	for sel := range set.Methods() {
		f := sel.Obj().(*types.Func)
		if !f.Exported() {
			continue
		}
		pos := f.Pos()
		if f.Pkg() != c.pkg.Types {
			pos = comp.pos
		}
		want := method(iface, f.Name())
		if want == nil {
			c.refuse(pos, rule.RouterExtra, c.typeString(comp.Iface), router, f.Name())
			continue
		}
		found = true
		got, params := f.Signature(), want.Signature().Params()
		if !types.Identical(paramsOnly(got), paramsOnly(want.Signature())) {
			c.refuse(pos, rule.RouterArgs, c.typeString(comp.Iface), router, f.Name(),
				c.typeString(got.Params()), c.typeString(params))
		}
		if got.Results().Len() != 1 || !routable(got.Results().At(0).Type()) {
			c.refuse(pos, rule.RouterResult, c.typeString(comp.Iface), router, f.Name(),
				c.typeString(got.Results()))
		}
		for _, m := range i.Methods {
			if m.Name == f.Name() {
				m.Route = got
			}
		}
	}
	if !found {
		c.refuse(comp.pos, rule.RouterEmpty, c.typeString(comp.Iface), router)
	}
}

func method(iface *types.Interface, name string) *types.Func {
	for f := range iface.Methods() {
		if f.Name() == name {
			return f
		}
	}
	return nil
}

// paramsOnly returns a signature without results.
func paramsOnly(sig *types.Signature) *types.Signature {
	return types.NewSignatureType(nil, nil, nil, sig.Params(), nil, sig.Variadic())
}

// routable reports whether a type can be a routing key.
func routable(t types.Type) bool {
	switch u := t.Underlying().(type) {
	case *types.Basic:
		const numbers = types.IsInteger | types.IsFloat
		return u.Info()&(numbers|types.IsString) != 0 && u.Kind() != types.Uintptr
	case *types.Struct:
		for f := range u.Fields() {
			if !routable(f.Type()) {
				return false
			}
		}
		return u.NumFields() > 0
	}
	return false
}
