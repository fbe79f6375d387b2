package shape

import (
	"go/types"
	"strings"

	"github.com/divisi-go/divisi/internal/gen/rule"
	"golang.org/x/tools/go/types/typeutil"
)

// Set makes the shapes of one package's types.
type Set struct {
	pkg   *types.Package // where the generated code stands
	known typeutil.Map
}

// NewSet returns an empty set for a package.
func NewSet(pkg *types.Package) *Set { return &Set{pkg: pkg} }

// Of returns the shape of a type.
func (set *Set) Of(t types.Type) *Shape {
	if s, ok := set.known.At(t).(*Shape); ok {
		return s
	}
	s := &Shape{Type: t}
	set.known.Set(t, s)
	set.fill(s)
	return s
}

func (set *Set) fill(s *Shape) {
	s.Rule = set.Unnameable(s.Type)
	if s.Rule != 0 {
		return
	}
	set.fillKind(s)
	if (s.Kind == Binary || s.Kind == Text) && locked(s.Type) {
		s.Rule = rule.TypeLocked
	}
}

func (set *Set) fillKind(s *Shape) {
	t := types.Unalias(s.Type)
	if named, ok := t.(*types.Named); ok && set.fillNamed(s, named) {
		return
	}
	switch u := t.Underlying().(type) {
	case *types.Basic:
		if s.Basic = basicMethods[u.Kind()]; s.Basic != "" {
			s.Kind = Basic
			return
		}
		s.Rule = rule.TypePointer
	case *types.Pointer:
		if isProto(t) {
			s.Kind = Proto
			return
		}
		s.Kind, s.Elem = Pointer, set.Of(u.Elem())
	case *types.Slice:
		if b, ok := types.Unalias(u.Elem()).(*types.Basic); ok && b.Kind() == types.Uint8 {
			s.Kind, s.Basic = Basic, "Bytes"
			return
		}
		s.Kind, s.Elem = Slice, set.Of(u.Elem())
	case *types.Array:
		s.Kind, s.Elem, s.Len = Array, set.Of(u.Elem()), u.Len()
	case *types.Map:
		s.Kind, s.Key, s.Elem = Map, set.Of(u.Key()), set.Of(u.Elem())
	case *types.Struct:
		set.fillStruct(s, u)
	case *types.Chan:
		s.Rule = rule.TypeChan
	case *types.Signature:
		s.Rule = rule.TypeFunc
	case *types.Interface:
		s.Rule = rule.TypeInterface
	default:
		s.Rule = rule.TypePointer
	}
}

// fillNamed handles named types that are more than what they are made of.
func (set *Set) fillNamed(s *Shape, named *types.Named) bool {
	obj := named.Obj()
	if obj.Pkg() == nil && obj.Name() == "error" {
		s.Kind, s.Basic = Basic, "Error"
		return true
	}
	if isTime(named) {
		s.Kind, s.Basic = Basic, "Time"
		return true
	}
	if isProto(types.NewPointer(named)) {
		s.Rule = rule.TypeProtoValue
		return true
	}
	if ok, byPointer := marshals(named, "Binary"); ok {
		s.Kind, s.ByPointer = Binary, byPointer
		return true
	}
	if obj.Pkg() != set.pkg && HasMethods(named) {
		// What it is made of is needed all the same, as its own package sees it.
		NewSet(obj.Pkg()).fillStruct(s, named.Underlying().(*types.Struct))
		if s.Kind == Struct {
			s.Kind = Auto
		}
		return true
	}
	return false
}

// fillStruct takes all fields of structs that the package can see into. Other structs need to
// have exported fields only, or a text form.
func (set *Set) fillStruct(s *Shape, u *types.Struct) {
	for f := range u.Fields() {
		if f.Name() == "_" || IsRoot(f.Type(), "AutoMarshal") {
			continue
		}
		if f.Exported() || f.Pkg() == set.pkg {
			continue
		}
		if named, ok := types.Unalias(s.Type).(*types.Named); ok {
			if ok, byPointer := marshals(named, "Text"); ok {
				s.Kind, s.ByPointer = Text, byPointer
				return
			}
		}
		s.Rule = rule.TypePrivate
		return
	}
	s.Kind = Struct
	for f := range u.Fields() {
		if f.Name() == "_" || IsRoot(f.Type(), "AutoMarshal") {
			continue
		}
		s.Fields = append(s.Fields, Field{f.Name(), f.Embedded(), set.Of(f.Type())})
	}
}

// Unnameable returns the rule that a type breaks which generated code has no way to write.
func (set *Set) Unnameable(t types.Type) rule.Rule {
	var obj *types.TypeName
	var args *types.TypeList
	switch t := t.(type) {
	case *types.Alias:
		if Nameable(set.pkg, t.Obj()) {
			return 0
		}
		return set.Unnameable(t.Rhs()) // which is written instead
	case *types.Named:
		obj, args = t.Obj(), t.TypeArgs()
	default:
		return 0
	}

	if r := unnameable(set.pkg, obj); r != 0 {
		return r
	}
	for arg := range args.Types() {
		if r := set.Unnameable(arg); r != 0 {
			return r
		}
	}
	return 0
}

// Nameable reports whether code in a package can use the name of a type.
func Nameable(pkg *types.Package, obj *types.TypeName) bool { return unnameable(pkg, obj) == 0 }

func unnameable(pkg *types.Package, obj *types.TypeName) rule.Rule {
	switch {
	case obj.Pkg() == nil || obj.Pkg() == pkg:
		return 0
	case !obj.Exported():
		return rule.TypeUnexported
	case !mayImport(pkg.Path(), obj.Pkg().Path()):
		return rule.TypeInternal
	}
	return 0
}

// locked reports whether a type holds something that must not be copied by value: a lock, or what
// says that it is one to keep go vet from allowing it, as the types of sync/atomic do.
func locked(t types.Type) bool {
	switch u := t.Underlying().(type) {
	case *types.Array:
		return locked(u.Elem())
	case *types.Struct:
		if lockable(types.NewPointer(t)) && !lockable(t) {
			return true
		}
		for f := range u.Fields() {
			if locked(f.Type()) {
				return true
			}
		}
	}
	return false
}

// lockable reports whether a type has the methods Lock and Unlock.
func lockable(t types.Type) bool {
	set := types.NewMethodSet(t)
	has := func(name string) bool {
		for m := range set.Methods() {
			if m.Obj().Name() == name && Bare(m.Obj().(*types.Func).Signature()) == "func()" {
				return true
			}
		}
		return false
	}
	return has("Lock") && has("Unlock")
}

// mayImport reports whether the rule about internal packages lets one package import another.
func mayImport(importer, imported string) bool {
	elems := strings.Split(imported, "/")
	if elems[0] == "vendor" {
		return false // of the standard library
	}
	for i := len(elems) - 1; i >= 0; i-- {
		if elems[i] == "internal" {
			parent := strings.Join(elems[:i], "/")
			return parent != "" && (importer == parent || strings.HasPrefix(importer, parent+"/"))
		}
	}
	return true
}

var basicMethods = map[types.BasicKind]string{
	types.Bool: "Bool", types.String: "String",
	types.Int: "Int", types.Int8: "Int8", types.Int16: "Int16", types.Int32: "Int32",
	types.Int64: "Int64", types.Uint: "Uint", types.Uint8: "Uint8", types.Uint16: "Uint16",
	types.Uint32: "Uint32", types.Uint64: "Uint64",
	types.Float32: "Float32", types.Float64: "Float64",
	types.Complex64: "Complex64", types.Complex128: "Complex128",
}

// isTime reports whether a type is time.Time, or defined as it.
func isTime(named *types.Named) bool {
	if FullName(named.Obj()) == "time.Time" {
		return true
	}
	u, ok := named.Underlying().(*types.Struct)
	return ok && u.NumFields() == 3 && u.Field(2).Pkg().Path() == "time" && u.Field(2).Name() == "loc"
}

// marshals reports whether a type has both methods of a form, Binary or Text, itself: methods
// of an embedded field would forget the other fields.
func marshals(named *types.Named, form string) (ok, byPointer bool) {
	marshal, byPointer := ownMethod(named, "Marshal"+form)
	unmarshal, _ := ownMethod(named, "Unmarshal"+form)
	return marshal == "func() ([]byte, error)" && unmarshal == "func([]byte) error", byPointer
}

// ownMethod returns the type of a method that is not promoted from a field, without names, and
// whether its receiver is a pointer.
func ownMethod(named *types.Named, name string) (string, bool) {
	obj, index, _ := types.LookupFieldOrMethod(types.NewPointer(named), true, named.Obj().Pkg(), name)
	f, ok := obj.(*types.Func)
	if !ok || len(index) != 1 {
		return "", false
	}
	sig := f.Signature()
	_, byPointer := types.Unalias(sig.Recv().Type()).(*types.Pointer)
	return Bare(sig), byPointer
}

// isProto reports whether a type is a pointer to a generated protobuf message.
func isProto(t types.Type) bool {
	ptr, ok := types.Unalias(t).(*types.Pointer)
	if !ok {
		return false
	}
	named, ok := types.Unalias(ptr.Elem()).(*types.Named)
	if !ok {
		return false
	}
	obj, index, _ := types.LookupFieldOrMethod(ptr, true, named.Obj().Pkg(), "ProtoReflect")
	f, ok := obj.(*types.Func)
	return ok && len(index) == 1 && f.Signature().Results().Len() == 1 &&
		strings.HasSuffix(f.Signature().Results().At(0).Type().String(), "protoreflect.Message")
}
