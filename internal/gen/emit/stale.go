package emit

import (
	"go/types"
	"slices"

	"github.com/divisi-go/divisi/internal/gen/check"
	"github.com/divisi-go/divisi/internal/gen/shape"
)

// stalePrefix begins the names of types that the compiler's messages about stale code have in
// them.
const stalePrefix = "stale_run_divisi_generate_"

// checks writes what makes stale code fail to compile: assertions that interfaces and types are
// what the rest of the file takes them for. They stand at package level and first, for the
// compiler reports these errors first, and only ten.
func (w *writer) checks(ifaces []*check.Interface) {
	named := w.namedShapes(ifaces)
	fresh := w.codegen() + ".Stale_run_divisi_generate"
	w.p("// Where one of these does not compile, this file is older than what it was made from.")
	w.p("var (")
	w.p("_ = %s[%s.ABI](%s.ABI1{})", fresh, w.codegen(), w.codegen())
	for _, comp := range w.pkg.Components {
		impl, iface := w.typ(comp.Impl), w.typ(comp.Iface)
		root := w.importName(shape.Root, "divisi")
		w.p("_ = %s[%s.InstanceOf[%s]](%s)", fresh, root, iface, w.null("*"+impl))
		if comp.Router != nil {
			w.p("_ = %s[%s.RoutedBy[%s]](%s)", fresh, root, w.typ(comp.Router), w.null("*"+impl))
		}
	}

	for _, i := range ifaces {
		w.p("_ = %s[%s](%s{})", fresh, w.typ(i.Type), w.stubs[i])
		w.p("_ = %s[interface {", fresh)
		for _, m := range i.Methods {
			w.method(m.Name, m.Type)
		}

		w.p("}](%s)", w.null(w.typ(i.Type)))
		if i.Router != nil {
			w.p("_ = %s[interface {", fresh)
			for _, m := range i.Methods {
				if m.Route != nil {
					w.method(m.Name, m.Route)
				}
			}
			w.p("}](%s)", w.fresh(w.typ(i.Router)))
		}
	}

	for _, s := range named {
		w.p("_ = (*%s%s)(%s)", stalePrefix, w.name(s), w.null("*"+w.typ(s.Type)))
	}

	w.p(")\n")
	if len(named) == 0 {
		return
	}

	w.p("type (")
	for _, s := range named {
		w.layoutType(s)
	}

	w.p(")\n")
}

// method writes a method of an interface.
func (w *writer) method(name string, sig *types.Signature) {
	w.p("%s%s", name, w.signatureType(sig))
}

// layoutType declares a type with the layout that a named type had.
func (w *writer) layoutType(s *shape.Shape) {
	name := stalePrefix + w.name(s)
	u, ok := s.Type.Underlying().(*types.Struct)
	if !ok {
		w.p("%s %s", name, w.typ(s.Type.Underlying()))
		return
	}

	w.p("%s struct {", name)
	for f := range u.Fields() {
		if f.Embedded() {
			w.p("%s", w.typ(f.Type()))
		} else {
			w.p("%s %s", f.Name(), w.typ(f.Type()))
		}
	}

	w.p("}")
}

// namedShapes returns the shapes of types whose layout the file depends on.
func (w *writer) namedShapes(ifaces []*check.Interface) []*shape.Shape {
	var found []*shape.Shape
	seen := map[*shape.Shape]bool{}
	var walk func(*shape.Shape)
	walk = func(s *shape.Shape) {
		if seen[s] {
			return
		}

		seen[s] = true
		if s.Kind == shape.Auto {
			return // its package sees to it
		}
		if w.layoutMatters(s) {
			found = append(found, s)
		}

		for _, child := range s.Parts() {
			walk(child)
		}
	}

	for _, i := range ifaces {
		for _, m := range i.Methods {
			for _, s := range slices.Concat(m.Args, m.Results) {
				walk(s)
			}
			if m.Stream != nil {
				walk(m.Stream)
			}
		}
	}

	for _, s := range slices.Concat(w.pkg.ErrorTypes, w.pkg.Marshals) {
		walk(s)
	}

	return found
}

// layoutMatters reports whether a type can change without a change of its name, in a way that
// this file would not notice. Types of the standard library do not change.
func (w *writer) layoutMatters(s *shape.Shape) bool {
	named := s.Named()
	if named == nil || named.Obj().Pkg() == nil || w.pkg.Source.Std(named.Obj().Pkg().Path()) &&
		named.TypeArgs().Len() == 0 {
		return false
	}

	switch s.Kind {
	case shape.Binary, shape.Text, shape.Proto, shape.Auto:
		return false
	case shape.Basic:
		return s.Basic != "Time" && s.Basic != "Error"
	case shape.Pointer, shape.Slice, shape.Array, shape.Map:
		return true
	case shape.Struct:
		// A blank field of another package cannot be declared here.
		for f := range s.Type.Underlying().(*types.Struct).Fields() {
			if !f.Exported() && f.Pkg() != w.pkg.Types {
				return false
			}
		}
		return true
	default:
		panic(unfit(s))
	}
}
