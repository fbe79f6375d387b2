package emit

import (
	"fmt"
	"go/types"
	"strings"

	"github.com/divisi-go/divisi/internal/gen/shape"
)

// typ returns a type as it is written in the file.
func (w *writer) typ(t types.Type) string {
	switch t := t.(type) {
	case *types.Basic:
		return w.predeclared(t.Name())
	case *types.Named:
		return w.named(t.Obj(), t.TypeArgs())
	case *types.Alias:
		if !shape.Nameable(w.pkg.Types, t.Obj()) {
			return w.typ(t.Rhs())
		}
		return w.named(t.Obj(), t.TypeArgs())
	case *types.Pointer:
		return "*" + w.typ(t.Elem())
	case *types.Slice:
		return "[]" + w.typ(t.Elem())
	case *types.Array:
		return fmt.Sprintf("[%d]%s", t.Len(), w.typ(t.Elem()))
	case *types.Map:
		return fmt.Sprintf("map[%s]%s", w.typ(t.Key()), w.typ(t.Elem()))
	case *types.Struct:
		return w.structType(t)
	case *types.Signature:
		return "func" + w.signatureType(t)
	default:
		return types.TypeString(t, w.qualifier)
	}
}

func (w *writer) named(obj *types.TypeName, args *types.TypeList) string {
	if obj.Pkg() == nil {
		return w.predeclared(obj.Name())
	}
	text := w.qualified(obj.Pkg(), obj.Name())
	if args.Len() == 0 {
		return text
	}
	var list []string
	for arg := range args.Types() {
		list = append(list, w.typ(arg))
	}
	return text + "[" + strings.Join(list, ", ") + "]"
}

func (w *writer) structType(t *types.Struct) string {
	var fields []string
	for i := range t.NumFields() {
		f := t.Field(i)
		text := w.typ(f.Type())
		if !f.Embedded() {
			text = f.Name() + " " + text
		}
		if tag := t.Tag(i); tag != "" {
			text += fmt.Sprintf(" %q", tag)
		}
		fields = append(fields, text)
	}

	return "struct{" + strings.Join(fields, "; ") + "}"
}

// signatureType returns a function's parameters and results, without their names.
func (w *writer) signatureType(sig *types.Signature) string {
	var params, results []string
	for v := range sig.Params().Variables() {
		params = append(params, w.typ(v.Type()))
	}

	if last := len(params) - 1; sig.Variadic() {
		params[last] = "..." + strings.TrimPrefix(params[last], "[]")
	}

	for v := range sig.Results().Variables() {
		results = append(results, w.typ(v.Type()))
	}

	text := "(" + strings.Join(params, ", ") + ")"
	switch len(results) {
	case 0:
		return text
	case 1:
		return text + " " + results[0]
	default:
		return text + " (" + strings.Join(results, ", ") + ")"
	}
}

// shadowed reports whether the package declares a predeclared name itself.
func (w *writer) shadowed(name string) bool { return w.declared[name] }

// predeclared returns a predeclared name, in the words of the package predeclared if it is shadowed.
func (w *writer) predeclared(name string) string {
	if !w.shadowed(name) {
		return name
	}
	return w.importName(codegenPath+"/predeclared", "predeclared") + "." + upperFirst(name)
}

// null returns nil as a value of a type.
func (w *writer) null(typ string) string {
	switch {
	case w.shadowed("nil"):
		return fmt.Sprintf("%s[%s]()", w.predeclared("nil"), typ)
	case strings.HasPrefix(typ, "*"), strings.HasPrefix(typ, "func"):
		return fmt.Sprintf("(%s)(nil)", typ)
	default:
		return typ + "(nil)"
	}
}

// untyped returns nil where it takes the type that it has to have.
func (w *writer) untyped(typ string) string {
	if w.shadowed("nil") {
		return w.null(typ)
	}
	return "nil"
}

// fresh returns a pointer to a new value of a type.
func (w *writer) fresh(typ string) string {
	if w.shadowed("new") {
		return fmt.Sprintf("%s[%s]()", w.predeclared("new"), typ)
	}
	return fmt.Sprintf("new(%s)", typ)
}
