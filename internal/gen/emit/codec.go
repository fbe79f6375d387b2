package emit

import (
	"fmt"
	"go/types"
	"slices"
	"strings"

	"github.com/divisi-go/divisi/internal/gen/shape"
)

// coder is an encoder or decoder in generated code: what methods are called on, and what is
// passed to functions.
type coder struct{ sel, ptr string }

// apart reports whether a shape needs functions of its own wherever it occurs.
func apart(s *shape.Shape) bool {
	switch s.Kind {
	case shape.Struct, shape.Auto, shape.Array, shape.Binary, shape.Text, shape.Proto:
		return true
	case shape.Slice, shape.Map, shape.Pointer:
		return s.InPlace() || s.Recursive()
	case shape.Basic:
		return false
	default:
		panic(unfit(s))
	}
}

// unfit is thrown when a switch over the kinds of shapes has no case for one.
func unfit(s *shape.Shape) string {
	return fmt.Sprintf("no code can be written for %v, of the kind %d", s.Type, s.Kind)
}

// plain reports whether a shape's type is the very type that the coder's method has.
func plain(s *shape.Shape) bool {
	t := types.Unalias(s.Type)
	switch s.Basic {
	case "Bytes":
		_, ok := t.(*types.Slice)
		return ok
	case "Error":
		return true
	case "Time":
		return types.TypeString(t, nil) == "time.Time"
	}
	_, ok := t.(*types.Basic)
	return ok
}

// basicType returns the type that the method for a basic shape takes.
func (w *writer) basicType(s *shape.Shape) string {
	switch s.Basic {
	case "Time":
		return w.importName("time", "time") + ".Time"
	case "Bytes":
		return "[]" + w.predeclared("byte")
	default:
		return w.predeclared(strings.ToLower(s.Basic))
	}
}

// convert returns a conversion of an expression to a type.
func (w *writer) convert(t types.Type, expr string) string {
	text := w.typ(t)
	if _, named := t.(interface{ Obj() *types.TypeName }); !named {
		text = "(" + text + ")"
	}
	return text + "(" + expr + ")"
}

// enc returns the statement that encodes the variable or field x.
func (w *writer) enc(s *shape.Shape, to coder, x string) string {
	if apart(s) {
		return fmt.Sprintf("%s(%s, %s)", w.helper("enc", s), to.ptr, x)
	}

	switch s.Kind {
	case shape.Basic:
		if !plain(s) && s.Basic != "Bytes" {
			x = w.basicType(s) + "(" + x + ")"
		}
		return fmt.Sprintf("%s.%s(%s)", to.sel, s.Basic, x)
	case shape.Slice:
		return fmt.Sprintf("%s.EncSlice(%s, %s, %s)", w.codegen(), to.ptr, x, w.encFunc(s.Elem))
	case shape.Map:
		return fmt.Sprintf("%s.EncMap(%s, %s, %s, %s)",
			w.codegen(), to.ptr, x, w.encFunc(s.Key), w.encFunc(s.Elem))
	case shape.Pointer:
		return fmt.Sprintf("%s.EncPtr(%s, %s, %s)", w.codegen(), to.ptr, x, w.encFunc(s.Elem))
	default:
		panic(unfit(s))
	}
}

// dec returns the expression that decodes a value; it can be assigned to the shape's type.
func (w *writer) dec(s *shape.Shape, from coder) string {
	if apart(s) {
		return fmt.Sprintf("%s(%s)", w.helper("dec", s), from.ptr)
	}

	switch s.Kind {
	case shape.Basic:
		x := fmt.Sprintf("%s.%s()", from.sel, s.Basic)
		if !plain(s) && s.Basic != "Bytes" {
			x = w.convert(s.Type, x)
		}
		return x
	case shape.Slice:
		return fmt.Sprintf("%s.DecSlice(%s, %d, %s)",
			w.codegen(), from.ptr, s.Elem.MinSize(), w.decFunc(s.Elem))
	case shape.Map:
		return fmt.Sprintf("%s.DecMap(%s, %d, %s, %s)", w.codegen(), from.ptr,
			s.Key.MinSize()+s.Elem.MinSize(), w.decFunc(s.Key), w.decFunc(s.Elem))
	case shape.Pointer:
		return fmt.Sprintf("%s.DecPtr(%s, %s)", w.codegen(), from.ptr, w.decFunc(s.Elem))
	default:
		panic(unfit(s))
	}
}

// encFunc returns a func(*Encoder, T).
func (w *writer) encFunc(s *shape.Shape) string {
	if s.Kind == shape.Basic && plain(s) {
		return fmt.Sprintf("(*%s.Encoder).%s", w.codegen(), s.Basic)
	}
	return w.helper("enc", s)
}

// decFunc returns a func(*Decoder) T.
func (w *writer) decFunc(s *shape.Shape) string {
	if s.Kind == shape.Basic && plain(s) {
		return fmt.Sprintf("(*%s.Decoder).%s", w.codegen(), s.Basic)
	}
	return w.helper("dec", s)
}

// copyOf returns an expression for a copy of x that shares no memory with it: x itself if values of its
// type hold no memory that could be shared.
func (w *writer) copyOf(s *shape.Shape, x string) string {
	if !s.Shared() {
		return x
	}
	if apart(s) {
		return fmt.Sprintf("%s(%s)", w.helper("copy", s), x)
	}

	switch s.Kind {
	case shape.Map:
		return fmt.Sprintf("%s.CopyMap(%s, %s, %s)",
			w.codegen(), x, w.copyFunc(s.Key), w.copyFunc(s.Elem))
	case shape.Pointer:
		return fmt.Sprintf("%s.CopyPtr(%s, %s)", w.codegen(), x, w.copyFunc(s.Elem))
	case shape.Slice:
		return fmt.Sprintf("%s.CopySlice(%s, %s)", w.codegen(), x, w.copyFunc(s.Elem))
	case shape.Basic: // bytes
		return fmt.Sprintf("%s.CopySlice(%s, %s)", w.codegen(), x, w.noCopy(w.predeclared("byte")))
	default:
		panic(unfit(s))
	}
}

// copyFunc returns a func(T) T, or nil if no copy is needed.
func (w *writer) copyFunc(s *shape.Shape) string {
	if !s.Shared() {
		return w.noCopy(w.typ(s.Type))
	}
	return w.helper("copy", s)
}

// noCopy returns a func(T) T that is nil.
func (w *writer) noCopy(typ string) string {
	return w.untyped(fmt.Sprintf("func(%s) %s", typ, typ))
}

// marshals writes the methods by which other packages encode structs that they cannot see into.
func (w *writer) marshals() {
	for _, s := range w.pkg.Marshals {
		w.p("// DivisiMarshal is for generated code.")
		w.p("func ($v *%s) DivisiMarshal($e *%s.Encoder) { %s($e, *$v) }\n",
			w.typ(s.Type), w.codegen(), w.helper("enc", s))
		w.p("// DivisiUnmarshal is for generated code.")
		w.p("func ($v *%s) DivisiUnmarshal($d *%s.Decoder) { *$v = %s($d) }\n",
			w.typ(s.Type), w.codegen(), w.helper("dec", s))
	}
}

// helper returns the name of a function for a shape, and sees to it that it is written.
func (w *writer) helper(kind string, s *shape.Shape) string {
	name := w.name(s)
	if !w.wanted[kind+name] {
		w.wanted[kind+name] = true
		if !slices.Contains(w.queue, s) {
			w.queue = append(w.queue, s)
		}
	}
	return kind + name
}

// helpers writes the functions that are used. Writing one can add others.
func (w *writer) helpers() {
	written := map[string]bool{}
	for again := true; again; {
		again = false
		for i := 0; i < len(w.queue); i++ {
			s := w.queue[i]
			for _, kind := range []string{"enc", "dec", "copy"} {
				name := kind + w.name(s)
				if !w.wanted[name] || written[name] {
					continue
				}

				written[name], again = true, true
				switch kind {
				case "enc":
					w.encHelper(name, s)
				case "dec":
					w.decHelper(name, s)
				default:
					w.copyHelper(name, s)
				}
			}
		}
	}
}

func (w *writer) encHelper(name string, s *shape.Shape) {
	to := coder{sel: w.local("e"), ptr: w.local("e")}
	v := w.local("v")
	w.p("func %s($e *%s.Encoder, $v %s) {", name, w.codegen(), w.typ(s.Type))
	if s.Unguarded() {
		w.p("if !$e.Enter() {")
		w.p("return")
		w.p("}")
		w.p("defer $e.Leave()")
	}

	switch {
	case s.InPlace():
		w.p("$e.Bool($v != %s)", w.untyped(w.typ(s.Type)))
		w.p("if $v != %s {", w.untyped(w.typ(s.Type)))
		w.p("%s.Enc%s($e, $v)", w.codegen(), form(s.Elem))
		w.p("}")
	case s.Kind == shape.Auto:
		w.p("$v.DivisiMarshal($e)")
	case s.Kind == shape.Struct:
		for _, f := range s.Fields {
			w.p("%s", w.enc(f.Shape, to, v+"."+f.Name))
		}
	case s.Kind == shape.Array:
		w.p("%s.EncArray($e, $v[:], %s)", w.codegen(), w.encFunc(s.Elem))
	case s.Kind == shape.Binary, s.Kind == shape.Text:
		if s.ByPointer {
			v = "&" + v
		}
		w.p("%s.Enc%s($e, %s)", w.codegen(), form(s), v)
	case s.Kind == shape.Proto:
		w.p("%s.EncMessage($e, $v == %s, func() ([]%s, %s) { return %s.Marshal($v) })",
			w.codegen(), w.untyped(w.typ(s.Type)), w.predeclared("byte"), w.predeclared("error"), w.proto())
	default:
		w.p("%s", w.enc(inner(s), to, v))
	}

	w.p("}\n")
}

func (w *writer) decHelper(name string, s *shape.Shape) {
	from := coder{sel: w.local("d"), ptr: w.local("d")}
	w.p("func %s($d *%s.Decoder) ($v %s) {", name, w.codegen(), w.typ(s.Type))
	if s.Unguarded() {
		w.p("if !$d.Enter() {")
		w.p("return")
		w.p("}")
		w.p("defer $d.Leave()")
	}

	switch {
	case s.InPlace():
		w.p("return %s.Dec%sPtr[%s]($d)", w.codegen(), form(s.Elem), w.typ(s.Elem.Type))
	case s.Kind == shape.Auto:
		w.p("$v.DivisiUnmarshal($d)")
		w.p("return")
	case s.Kind == shape.Struct:
		for _, f := range s.Fields {
			w.p("$v.%s = %s", f.Name, w.dec(f.Shape, from))
		}
		w.p("return")
	case s.Kind == shape.Array:
		w.p("%s.DecArray($d, $v[:], %s)", w.codegen(), w.decFunc(s.Elem))
		w.p("return")
	case s.Kind == shape.Binary, s.Kind == shape.Text:
		w.p("return %s.Dec%s[%s]($d)", w.codegen(), form(s), w.typ(s.Type))
	case s.Kind == shape.Proto:
		w.p("return %s.DecMessage($d, func($data []%s, $v *%s) %s {",
			w.codegen(), w.predeclared("byte"), w.elem(s), w.predeclared("error"))
		w.p("return %s.Unmarshal($data, $v)", w.proto())
		w.p("})")
	default:
		w.p("return %s", w.dec(inner(s), from))
	}

	w.p("}\n")
}

func (w *writer) copyHelper(name string, s *shape.Shape) {
	t := w.typ(s.Type)
	w.p("func %s($v %s) %s {", name, t, t)
	switch {
	case s.Recursive(), s.InPlace(), s.Kind == shape.Auto:
		w.p("return %s.CopyCoded($v, %s, %s)", w.codegen(), w.helper("enc", s), w.helper("dec", s))
	case s.Kind == shape.Struct:
		for _, f := range s.Fields {
			x := w.local("v") + "." + f.Name
			if text := w.copyOf(f.Shape, x); text != x {
				w.p("%s = %s", x, text)
			}
		}
		w.p("return $v")
	case s.Kind == shape.Array:
		w.p("%s.CopyArray($v[:], %s)", w.codegen(), w.copyFunc(s.Elem))
		w.p("return $v")
	case s.Kind == shape.Proto:
		w.p("return %s.Clone($v).(%s)", w.proto(), t)
	case s.Kind == shape.Binary, s.Kind == shape.Text:
		w.p("return %s.CopyCoded($v, %s, %s)", w.codegen(), w.helper("enc", s), w.helper("dec", s))
	default:
		w.p("return %s", w.copyOf(inner(s), w.local("v")))
	}

	w.p("}\n")
}

// inner returns a copy of a shape that needs no helper, for use inside the shape's own helper.
func inner(s *shape.Shape) *shape.Shape {
	c := *s
	c.Type = s.Type.Underlying()
	if s.Kind == shape.Basic {
		c.Type = s.Type
	}
	return &c
}

func form(s *shape.Shape) string {
	if s.Kind == shape.Text {
		return "Text"
	}
	return "Binary"
}

// elem returns the type that a pointer points to.
func (w *writer) elem(s *shape.Shape) string {
	return w.typ(types.Unalias(s.Type).(*types.Pointer).Elem())
}

func (w *writer) proto() string {
	return w.importName("google.golang.org/protobuf/proto", "proto")
}
