// Package check finds the components of a package, and refuses what cannot work. Its result is
// all that code is written from.
package check

import (
	"cmp"
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"slices"
	"strings"

	"github.com/divisi-go/divisi/codegen"
	"github.com/divisi-go/divisi/internal/gen/load"
	"github.com/divisi-go/divisi/internal/gen/rule"
	"github.com/divisi-go/divisi/internal/gen/shape"
	"github.com/divisi-go/divisi/internal/name"
)

// Package is what a generated file is made of.
type Package struct {
	Types      *types.Package
	Source     *load.Package
	Constraint string         // under which it is built, as a //go:build line has it; "" if always
	Components []*Component   // sorted by name
	Sentinels  []*types.Var   // package-level errors of this and other packages
	ErrorTypes []*shape.Shape // errors that can cross processes
	Marshals   []*shape.Shape // structs that get methods for other packages' generated code
}

// Component is one implementation.
type Component struct {
	Info   codegen.Info
	Iface  types.Type
	Impl   *types.Named
	Router types.Type // nil if it has none
	Listen []Listener
	pos    token.Pos
	refs   []reference
}

// reference is a field that is one of Info.Refs.
type reference struct {
	iface types.Type
	pos   token.Position
}

// Listener is a listener field.
type Listener struct {
	Name  string
	field string
	pos   token.Pos
}

// Interface is what stubs are made of. It has the router as well, because callers route the calls.
// Several implementations may share one.
type Interface struct {
	Type    types.Type
	Router  types.Type
	Methods []*Method
}

// checker checks one package.
type checker struct {
	pkg        *load.Package
	shapes     *shape.Set
	docs       *docs
	directives *directives
	problems   []*rule.Problem
	interfaces map[string]*Interface
	result     *Package
}

// Result is a checked package.
type Result struct {
	*Package
	Interfaces map[*Component]*Interface
	Problems   []*rule.Problem
}

// Check checks a package.
func Check(pkg *load.Package) *Result {
	c := &checker{
		pkg:        pkg,
		shapes:     shape.NewSet(pkg.Types),
		docs:       newDocs(pkg),
		interfaces: map[string]*Interface{},
		result:     &Package{Types: pkg.Types, Source: pkg},
	}
	r := &Result{Package: c.result, Interfaces: map[*Component]*Interface{}}
	if len(pkg.Errors) > 0 {
		c.causes()
		r.Problems = c.problems
		return r
	}

	c.directives = c.findDirectives()
	c.eachStruct(func(spec *ast.TypeSpec, doc *ast.CommentGroup, impl *types.Named) {
		if comp := c.component(spec, doc, impl); comp != nil {
			c.result.Components = append(c.result.Components, comp)
		}
	})
	slices.SortFunc(c.result.Components, func(a, b *Component) int {
		return strings.Compare(a.Info.Name, b.Info.Name)
	})

	c.clashes()
	c.notRetriableMarks()
	for _, comp := range c.result.Components {
		r.Interfaces[comp] = c.methods(comp)
		if n := len(comp.Info.Text()); n > codegen.MaxInfo {
			c.refuse(comp.pos, rule.Description, comp.Impl.Obj().Name(), n, codegen.MaxInfo)
		}
	}
	c.directives.complain(c)
	c.marshals()
	c.constraint()
	if len(c.result.Components)+len(c.result.Marshals) > 0 {
		c.errors()
	}

	slices.SortStableFunc(c.problems, func(a, b *rule.Problem) int {
		return cmp.Or(strings.Compare(a.Pos.Filename, b.Pos.Filename), a.Pos.Line-b.Pos.Line)
	})
	r.Problems = c.problems
	return r
}

func (c *checker) refuse(pos token.Pos, broken rule.Rule, args ...any) {
	c.problems = append(c.problems, broken.At(load.Position(c.pkg.Fset, pos), args...))
}

// eachStruct calls f for the structs that are declared at the top level.
func (c *checker) eachStruct(f func(*ast.TypeSpec, *ast.CommentGroup, *types.Named)) {
	for _, file := range c.pkg.Syntax {
		for spec, doc := range typeSpecs(file) {
			obj, ok := c.pkg.Info.Defs[spec.Name].(*types.TypeName)
			if !ok || obj.IsAlias() {
				continue
			}
			named, ok := obj.Type().(*types.Named)
			if !ok {
				continue
			}
			if _, ok := named.Underlying().(*types.Struct); ok {
				f(spec, doc, named)
			}
		}
	}
}

// component returns the component that a struct implements, or nil if it is none.
func (c *checker) component(
	spec *ast.TypeSpec, doc *ast.CommentGroup, impl *types.Named) *Component {
	s := impl.Underlying().(*types.Struct)
	name := impl.Obj().Name()
	at, ok := c.embedding(s, name)
	if !ok {
		return nil
	}
	if at < 0 {
		c.stray(s, name)
		return nil
	}

	pos := s.Field(at).Pos()
	if impl.TypeParams().Len() > 0 {
		c.refuse(spec.Pos(), rule.ImplGeneric, name)
		return nil
	}
	iface, _ := rootArg(s.Field(at).Type(), "Implements")
	if !c.componentInterface(iface, pos, name) {
		return nil
	}

	comp := &Component{Iface: iface, Impl: impl, pos: pos}
	comp.Info.Impl = c.pkg.Path + "/" + name
	comp.Info.Main = shape.IsRoot(iface, "Main")
	comp.Info.Name = c.variant(componentName(iface), s, at, name)
	missing, wrong := types.MissingMethod(types.NewPointer(impl), iface.Underlying().(*types.Interface), true)
	if missing != nil {
		what := "missing method " + missing.Name()
		if wrong {
			what = fmt.Sprintf("wrong type for method %s, want %s",
				missing.Name(), c.typeString(missing.Type()))
		}
		c.refuse(spec.Pos(), rule.ImplMissing, name, c.typeString(iface), what)
	}

	c.fields(comp, s)
	c.lifecycle(comp)
	c.directives.ofStruct(comp, doc)
	return comp
}

// embedding returns the index of the field that embeds Implements, or -1. It refuses a struct that has
// more of them, or has it otherwise.
func (c *checker) embedding(s *types.Struct, name string) (at int, ok bool) {
	at, ok = -1, true
	for i := range s.NumFields() {
		f := s.Field(i)
		arg, pointer := rootArg(f.Type(), "Implements")
		switch {
		case arg == nil:
		case !f.Embedded() || pointer:
			c.refuse(f.Pos(), rule.ImplementsField, name, c.typeString(arg))
			ok = false
		case at >= 0:
			c.refuse(f.Pos(), rule.ImplementsTwice, name)
			ok = false
		default:
			at = i
		}
	}
	return at, ok
}

// componentInterface reports whether a type can be a component interface.
func (c *checker) componentInterface(iface types.Type, pos token.Pos, impl string) bool {
	text := c.typeString(iface)
	if _, ok := iface.Underlying().(*types.Interface); !ok {
		c.refuse(pos, rule.ImplementsNotInterface, impl, text)
		return false
	}
	named, ok := types.Unalias(iface).(*types.Named)
	switch {
	case !ok && !shape.IsRoot(iface, "Main"):
		c.refuse(pos, rule.ImplementsUnnamed, impl)
	case ok && named.TypeArgs().Len() > 0:
		c.refuse(pos, rule.ImplementsGeneric, impl, text)
	case ok && named.Obj().Pkg() != c.pkg.Types && !named.Obj().Exported():
		c.refuse(pos, rule.ImplementsUnexported, impl, c.typeString(named))
	default:
		return true
	}
	return false
}

// stray refuses fields that do nothing in a struct that is no component.
func (c *checker) stray(s *types.Struct, name string) {
	for f := range s.Fields() {
		for _, what := range []string{"WithConfig", "WithRouter"} {
			if arg, _ := rootArg(f.Type(), what); arg != nil && f.Embedded() {
				c.refuse(f.Pos(), rule.Stray, name, what)
			}
		}
	}
}

// fields reads what the struct's fields say.
func (c *checker) fields(comp *Component, s *types.Struct) {
	for i := range s.NumFields() {
		f := s.Field(i)
		owner := comp.Impl.Obj().Name() + "." + f.Name()
		what, pointer := filled(f.Type())
		if pointer {
			c.refuse(f.Pos(), rule.FieldPointer, owner, c.typeString(f.Type()))
			continue
		}
		if what == "" {
			c.nested(f, owner)
			continue
		}

		if arg, _ := rootArg(f.Type(), "WithConfig"); arg != nil {
			comp.Info.Config = comp.Info.Config || f.Embedded()
		}
		if arg, _ := rootArg(f.Type(), "WithRouter"); arg != nil && f.Embedded() {
			comp.Router, comp.Info.Routed = arg, true
		}
		if shape.IsRoot(f.Type(), "Listener") {
			listener := cmp.Or(c.tag(s, i, owner), name.Listener(f.Name()))
			comp.Listen = append(comp.Listen, Listener{listener, owner, f.Pos()})
			comp.Info.Listeners = append(comp.Info.Listeners, listener)
		}
		for _, kind := range []string{"Ref", "Direct"} {
			if arg, _ := rootArg(f.Type(), kind); arg != nil && c.reference(arg, f.Pos(), owner) {
				name := c.variant(componentName(arg), s, i, owner)
				if !slices.Contains(comp.Info.Refs, name) {
					comp.Info.Refs = append(comp.Info.Refs, name)
					comp.refs = append(comp.refs, reference{arg, load.Position(c.pkg.Fset, f.Pos())})
				}
			}
		}
	}
}

// reference reports whether a type can be referred to.
func (c *checker) reference(iface types.Type, pos token.Pos, owner string) bool {
	named, ok := types.Unalias(iface).(*types.Named)
	_, isInterface := iface.Underlying().(*types.Interface)
	switch {
	case shape.IsRoot(iface, "Main"):
		c.refuse(pos, rule.RefMain, owner)
	case !isInterface:
		c.refuse(pos, rule.RefNotInterface, owner, c.typeString(iface))
	case !ok:
		c.refuse(pos, rule.RefUnnamed, owner)
	case named.TypeArgs().Len() > 0:
		c.refuse(pos, rule.RefGeneric, owner, c.typeString(iface))
	default:
		return true
	}
	return false
}

// filled returns the name of the root package's type if it is one that is filled as a field of
// a component, and whether it is a pointer to one.
func filled(t types.Type) (string, bool) {
	for _, name := range []string{"Ref", "Direct", "WithConfig", "WithRouter"} {
		if arg, pointer := rootArg(t, name); arg != nil {
			return name, pointer
		}
	}
	ptr, pointer := types.Unalias(t).(*types.Pointer)
	if pointer {
		t = ptr.Elem()
	}
	if shape.IsRoot(t, "Listener") {
		return "Listener", pointer
	}
	return "", false
}

// nested refuses references and listeners inside of what a field of a component holds.
func (c *checker) nested(f *types.Var, owner string) {
	if arg, _ := rootArg(f.Type(), "Implements"); arg != nil {
		return
	}
	if what := holds(f.Type(), map[types.Type]bool{}); what != "" {
		c.refuse(f.Pos(), rule.FieldNested, owner, "divisi."+what, c.typeString(f.Type()))
	}
}

// holds returns what a value holds, at any depth, that is filled only as a field of a component. What
// a pointer points to may belong to another component.
func holds(t types.Type, seen map[types.Type]bool) string {
	what, _ := filled(t)
	if what != "" || seen[t] {
		return what
	}
	seen[t] = true
	switch u := t.Underlying().(type) {
	case *types.Struct:
		for f := range u.Fields() {
			if what := holds(f.Type(), seen); what != "" {
				return what
			}
		}
	case *types.Array:
		return holds(u.Elem(), seen)
	case *types.Slice:
		return holds(u.Elem(), seen)
	case *types.Chan:
		return holds(u.Elem(), seen)
	case *types.Map:
		return cmp.Or(holds(u.Key(), seen), holds(u.Elem(), seen))
	}
	return ""
}

// variant adds the name in a field's tag to a component's name.
func (c *checker) variant(name string, s *types.Struct, i int, owner string) string {
	if tag := c.tag(s, i, owner); tag != "" {
		return name + "#" + tag
	}
	return name
}

// lifecycle refuses methods that look like those that the runtime calls.
func (c *checker) lifecycle(comp *Component) {
	const want = "func(context.Context) error"
	for _, name := range []string{"Init", "Ready", "Drain", "Shutdown"} {
		obj, _, _ := types.LookupFieldOrMethod(types.NewPointer(comp.Impl), true, c.pkg.Types, name)
		f, ok := obj.(*types.Func)
		if !ok {
			continue
		}
		own, _, _ := types.LookupFieldOrMethod(comp.Iface, false, c.pkg.Types, name)
		if _, ok := own.(*types.Func); ok {
			continue
		}
		if got := shape.Bare(f.Signature()); got != want {
			c.refuse(f.Pos(), rule.Lifecycle, comp.Impl.Obj().Name(), name, got)
		}
	}
}

// clashes refuses names that are used twice in the package.
func (c *checker) clashes() {
	listeners := map[string]Listener{}
	for i, comp := range c.result.Components {
		if i > 0 && c.result.Components[i-1].Info.Name == comp.Info.Name {
			before, broken := c.result.Components[i-1], rule.ImplTwice
			if comp.Info.Main {
				broken = rule.MainTwice
			}
			c.refuse(comp.pos, broken, before.Impl.Obj().Name(), comp.Impl.Obj().Name(), comp.Info.Name)
		}
		for _, lis := range comp.Listen {
			if before, ok := listeners[lis.Name]; ok {
				c.refuse(lis.pos, rule.ListenerTwice, lis.Name, before.field, lis.field)
				continue
			}
			listeners[lis.Name] = lis
		}
	}
}

// typeString returns a type as the package's author would write it.
func (c *checker) typeString(t types.Type) string {
	return types.TypeString(t, func(p *types.Package) string {
		if p == c.pkg.Types {
			return ""
		}
		return p.Name()
	})
}

// componentName returns the name of a component with an interface.
func componentName(iface types.Type) string {
	if shape.IsRoot(iface, "Main") {
		return shape.Root + "/Main"
	}
	obj := types.Unalias(iface).(*types.Named).Obj()
	return obj.Pkg().Path() + "/" + obj.Name()
}

// rootArg returns T if a type is the root package's generic type with a name, or a pointer to it.
func rootArg(t types.Type, name string) (arg types.Type, pointer bool) {
	if ptr, ok := types.Unalias(t).(*types.Pointer); ok {
		t, pointer = ptr.Elem(), true
	}
	if !shape.IsRoot(t, name) {
		return nil, false
	}
	args := types.Unalias(t).(*types.Named).TypeArgs()
	if args.Len() != 1 {
		return nil, false
	}
	return args.At(0), pointer
}
