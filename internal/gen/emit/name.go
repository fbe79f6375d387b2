package emit

import (
	"fmt"
	"go/types"
	"path"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/divisi-go/divisi/internal/gen/shape"
)

// locals are the names of variables and parameters in generated functions; imports have others.
var locals = []string{"c", "call", "ctx", "d", "data", "e", "err", "impl", "ok", "s", "v"}

// isLocal reports whether generated functions have a variable with a name.
func isLocal(name string) bool {
	number := strings.TrimLeft(name, "ar")
	_, err := strconv.Atoi(number)
	return err == nil && len(number) == len(name)-1 || slices.Contains(locals, name)
}

// unique returns a package-level identifier that is not taken, and takes it.
func (w *writer) unique(prefix, name, suffix string) string {
	for n := 1; ; n++ {
		ident := prefix + name + suffix
		if n > 1 {
			ident = fmt.Sprintf("%s%s%d%s", prefix, name, n, suffix)
		}
		if !w.taken(ident) {
			w.idents[ident] = true
			return ident
		}
	}
}

// taken reports whether the file cannot declare an identifier, because the package declares it already or
// one of its files imports a package by that name.
func (w *writer) taken(ident string) bool { return w.idents[ident] || w.pkg.Source.Imported[ident] }

// codegen returns the name of the package codegen.
func (w *writer) codegen() string {
	return w.importName(codegenPath, "codegen")
}

// qualified returns the name of something in a package.
func (w *writer) qualified(p *types.Package, name string) string {
	if q := w.qualifier(p); q != "" {
		return q + "." + name
	}
	return name
}

func (w *writer) qualifier(p *types.Package) string {
	if p == w.pkg.Types {
		return ""
	}
	return w.importName(p.Path(), p.Name())
}

func (w *writer) importName(path, name string) string {
	if known, ok := w.imports[path]; ok {
		return known
	}
	if isLocal(name) || types.Universe.Lookup(name) != nil || name == "init" {
		name += "pkg"
	}
	ident := name
	for n := 2; w.idents[ident]; n++ {
		ident = fmt.Sprintf("%s%d", name, n)
	}
	w.imports[path], w.idents[ident] = ident, true
	return ident
}

// packageName returns the name that an import has without saying so.
func (w *writer) packageName(importPath string) string {
	for _, p := range w.pkg.Types.Imports() {
		if p.Path() == importPath {
			return p.Name()
		}
	}
	return path.Base(importPath)
}

// name returns the name by which a shape's helpers are called after enc, dec and copy.
func (w *writer) name(s *shape.Shape) string {
	if name, ok := w.names[s]; ok {
		return name
	}

	base := w.word(s.Type)
	name := base
	for n := 2; w.taken("enc"+name) || w.taken("dec"+name) || w.taken("copy"+name); n++ {
		name = fmt.Sprintf("%s%d", base, n)
	}

	for _, prefix := range []string{"enc", "dec", "copy"} {
		w.idents[prefix+name] = true
	}

	w.names[s] = name
	return name
}

// word makes a word of a type.
func (w *writer) word(t types.Type) string {
	var obj *types.TypeName
	var args *types.TypeList
	switch t := t.(type) {
	case *types.Named:
		obj, args = t.Obj(), t.TypeArgs()
	case *types.Alias:
		obj, args = t.Obj(), t.TypeArgs()
	case *types.Basic:
		return upperFirst(t.Name())
	case *types.Pointer:
		return "PtrTo" + w.word(t.Elem())
	case *types.Slice:
		return "SliceOf" + w.word(t.Elem())
	case *types.Array:
		return fmt.Sprintf("Array%dOf%s", t.Len(), w.word(t.Elem()))
	case *types.Map:
		return "Map" + w.word(t.Key()) + "To" + w.word(t.Elem())
	default:
		return "Struct"
	}

	word := upperFirst(obj.Name())
	if obj.Pkg() != nil && obj.Pkg() != w.pkg.Types {
		word = upperFirst(obj.Pkg().Name()) + word
	}

	for arg := range args.Types() {
		word += "Of" + w.word(arg)
	}

	return word
}

// typeName returns a named type's name without its package.
func typeName(t types.Type) string {
	return types.Unalias(t).(*types.Named).Obj().Name()
}

func upperFirst(s string) string {
	r, size := utf8.DecodeRuneInString(s)
	return string(unicode.ToUpper(r)) + s[size:]
}

func lowerFirst(s string) string {
	r, size := utf8.DecodeRuneInString(s)
	return string(unicode.ToLower(r)) + s[size:]
}
