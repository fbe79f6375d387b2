package check

import (
	"fmt"
	"go/token"
	"go/types"
	"slices"
	"strings"

	"golang.org/x/tools/go/types/typeutil"
)

// Kind is how values of a type are encoded.
type Kind int

// The kinds. Pointer, Slice, Array and Map have an element; Map has a key as well.
const (
	Bad     Kind = iota // cannot be encoded
	Basic               // by the method of Encoder with the name in Shape.Basic
	Pointer             // to a value
	Slice
	Array
	Map
	Struct // field by field
	Auto   // a struct of another package, by the methods that are generated there
	Binary // by its own MarshalBinary and UnmarshalBinary
	Text   // by its own MarshalText and UnmarshalText
	Proto  // a pointer to a protobuf message
)

// Shape is a type as the encoder sees it. Shapes of recursive types are cyclic.
type Shape struct {
	Kind   Kind
	Type   types.Type
	Basic  string // Bool to String, Bytes, Time, Error
	Key    *Shape
	Elem   *Shape
	Len    int64
	Fields []Field

	// ByPointer says that the methods of a Binary or Text type belong to the pointer to it.
	ByPointer bool

	rule rule // why it is Bad, or must not be copied
}

// InPlace reports whether values are pointers whose targets are encoded by their own methods. Such a
// target may be something that must not be copied, so no code makes a copy of it.
func (s *Shape) InPlace() bool {
	return s.Kind == Pointer && (s.Elem.Kind == Binary || s.Elem.Kind == Text)
}

// Recursive reports whether a value of a named type can hold values of its own type.
func (s *Shape) Recursive() bool { return s.Named() != nil && s.reaches(s, true) }

// Unguarded reports whether it can do so without a pointer between, which is where depth is
// counted otherwise.
func (s *Shape) Unguarded() bool { return s.Named() != nil && s.reaches(s, false) }

// Field is a field of a struct.
type Field struct {
	Name     string
	Embedded bool
	Shape    *Shape
}

// Named returns the type's name, or nil if it has none.
func (s *Shape) Named() *types.Named {
	named, _ := types.Unalias(s.Type).(*types.Named)
	return named
}

// children calls f for the shapes that a shape is made of, with the way to them in the source's
// words, until f returns false.
func (s *Shape) children(f func(way string, child *Shape) bool) {
	switch s.Kind {
	case Pointer:
		if !s.InPlace() {
			f("", s.Elem)
		}
	case Slice, Array:
		f("[]", s.Elem)
	case Map:
		_ = f("[key]", s.Key) && f("[]", s.Elem)
	case Struct, Auto:
		for _, field := range s.Fields {
			if !f("."+field.Name, field.Shape) {
				return
			}
		}
	case Bad, Basic, Binary, Text, Proto:
	default:
		panic(unknownKind(s.Kind))
	}
}

// unknownKind is thrown where a switch over the kinds has been forgotten.
func unknownKind(k Kind) string { return fmt.Sprintf("there is no case for shapes of kind %d", k) }

// bad returns the first part of a shape that cannot be encoded, and the way to it.
func (s *Shape) bad() (string, *Shape) {
	seen := map[*Shape]bool{}
	var find func(string, *Shape) (string, *Shape)
	find = func(way string, s *Shape) (foundWay string, found *Shape) {
		if s.rule != 0 {
			return way, s
		}
		if seen[s] {
			return "", nil
		}
		seen[s] = true
		s.children(func(step string, child *Shape) bool {
			foundWay, found = find(way+step, child)
			return found == nil
		})
		return foundWay, found
	}
	return find("", s)
}

// Shared reports whether values hold memory that their copies would share.
func (s *Shape) Shared() bool {
	switch s.Kind {
	case Pointer, Slice, Map, Proto:
		return true
	case Binary, Text:
		return opaqueShared(s.Type, map[types.Type]bool{})
	case Basic:
		return s.Basic == "Bytes"
	case Array:
		return s.Elem.Shared()
	case Struct, Auto:
		return slices.ContainsFunc(s.Fields, func(f Field) bool { return f.Shape.Shared() })
	case Bad:
		return false
	default:
		panic(unknownKind(s.Kind))
	}
}

// immutable are types that hold pointers to what never changes.
var immutable = []string{"net/netip.Addr", "net/netip.AddrPort", "net/netip.Prefix", "time.Time"}

// opaqueShared is Shared for a type that is looked at from outside.
func opaqueShared(t types.Type, seen map[types.Type]bool) bool {
	if named, ok := types.Unalias(t).(*types.Named); ok {
		if slices.Contains(immutable, fullName(named.Obj())) {
			return false
		}
	}
	if seen[t] {
		return false
	}
	seen[t] = true
	switch u := t.Underlying().(type) {
	case *types.Basic:
		return u.Kind() == types.UnsafePointer
	case *types.Array:
		return opaqueShared(u.Elem(), seen)
	case *types.Struct:
		for f := range u.Fields() {
			if opaqueShared(f.Type(), seen) {
				return true
			}
		}
		return false
	}
	return true
}

// maxMinSize keeps sizes in bounds; a smaller one is always right.
const maxMinSize = 1 << 20

// MinSize returns the least number of bytes that a value takes.
func (s *Shape) MinSize() int {
	switch s.Kind {
	case Basic:
		return basicSizes[s.Basic]
	case Pointer:
		return 1
	case Proto:
		return 1
	case Array:
		elem := int64(s.Elem.MinSize())
		if elem > 0 && s.Len > maxMinSize/elem {
			return maxMinSize
		}
		return int(s.Len * elem)
	case Struct, Auto:
		n := 0
		for _, f := range s.Fields {
			n = min(n+f.Shape.MinSize(), maxMinSize)
		}
		return n
	case Slice, Map, Binary, Text:
		return 4 // a count or a length
	case Bad:
		return 0
	default:
		panic(unknownKind(s.Kind))
	}
}

var basicSizes = map[string]int{
	"Bool": 1, "Int": 8, "Int8": 1, "Int16": 2, "Int32": 4, "Int64": 8,
	"Uint": 8, "Uint8": 1, "Uint16": 2, "Uint32": 4, "Uint64": 8,
	"Float32": 4, "Float64": 8, "Complex64": 8, "Complex128": 16,
	"String": 4, "Bytes": 4, "Time": 14, "Error": 1,
}

// shapes makes the shapes of one package's types.
type shapes struct {
	pkg   *types.Package // where the generated code stands
	known typeutil.Map
}

// of returns the shape of a type.
func (c *shapes) of(t types.Type) *Shape {
	if s, ok := c.known.At(t).(*Shape); ok {
		return s
	}
	s := &Shape{Type: t}
	c.known.Set(t, s)
	c.fill(s)
	return s
}

// reaches reports whether a value of s can hold one of target.
func (s *Shape) reaches(target *Shape, pointers bool) bool {
	seen := map[*Shape]bool{}
	var walk func(*Shape) bool
	walk = func(s *Shape) (found bool) {
		if seen[s] || s.Kind == Pointer && !pointers {
			return false
		}
		seen[s] = true
		s.children(func(_ string, child *Shape) bool {
			found = child == target || walk(child)
			return !found
		})
		return found
	}
	return walk(s)
}

func (c *shapes) fill(s *Shape) {
	s.rule = c.unnameable(s.Type)
	if s.rule != 0 {
		return
	}
	c.fillKind(s)
	if (s.Kind == Binary || s.Kind == Text) && locked(s.Type) {
		s.rule = ruleTypeLocked
	}
}

func (c *shapes) fillKind(s *Shape) {
	t := types.Unalias(s.Type)
	if named, ok := t.(*types.Named); ok && c.fillNamed(s, named) {
		return
	}
	switch u := t.Underlying().(type) {
	case *types.Basic:
		if s.Basic = basicMethods[u.Kind()]; s.Basic != "" {
			s.Kind = Basic
			return
		}
		s.rule = ruleTypePointer
	case *types.Pointer:
		if isProto(t) {
			s.Kind = Proto
			return
		}
		s.Kind, s.Elem = Pointer, c.of(u.Elem())
	case *types.Slice:
		if b, ok := types.Unalias(u.Elem()).(*types.Basic); ok && b.Kind() == types.Uint8 {
			s.Kind, s.Basic = Basic, "Bytes"
			return
		}
		s.Kind, s.Elem = Slice, c.of(u.Elem())
	case *types.Array:
		s.Kind, s.Elem, s.Len = Array, c.of(u.Elem()), u.Len()
	case *types.Map:
		s.Kind, s.Key, s.Elem = Map, c.of(u.Key()), c.of(u.Elem())
	case *types.Struct:
		c.fillStruct(s, u)
	case *types.Chan:
		s.rule = ruleTypeChan
	case *types.Signature:
		s.rule = ruleTypeFunc
	case *types.Interface:
		s.rule = ruleTypeInterface
	default:
		s.rule = ruleTypePointer
	}
}

// fillNamed handles named types that are more than what they are made of.
func (c *shapes) fillNamed(s *Shape, named *types.Named) bool {
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
		s.rule = ruleTypeProtoValue
		return true
	}
	if ok, byPointer := marshals(named, "Binary"); ok {
		s.Kind, s.ByPointer = Binary, byPointer
		return true
	}
	if obj.Pkg() != c.pkg && hasMethods(named) {
		// What it is made of is needed all the same, as its own package sees it.
		(&shapes{pkg: obj.Pkg()}).fillStruct(s, named.Underlying().(*types.Struct))
		if s.Kind == Struct {
			s.Kind = Auto
		}
		return true
	}
	return false
}

// fillStruct takes all fields of structs that the package can see into. Other structs need to
// have exported fields only, or a text form.
func (c *shapes) fillStruct(s *Shape, u *types.Struct) {
	for f := range u.Fields() {
		if f.Name() == "_" || isRoot(f.Type(), "AutoMarshal") {
			continue
		}
		if f.Exported() || f.Pkg() == c.pkg {
			continue
		}
		if named, ok := types.Unalias(s.Type).(*types.Named); ok {
			if ok, byPointer := marshals(named, "Text"); ok {
				s.Kind, s.ByPointer = Text, byPointer
				return
			}
		}
		s.rule = ruleTypePrivate
		return
	}
	s.Kind = Struct
	for f := range u.Fields() {
		if f.Name() == "_" || isRoot(f.Type(), "AutoMarshal") {
			continue
		}
		s.Fields = append(s.Fields, Field{f.Name(), f.Embedded(), c.of(f.Type())})
	}
}

// unnameable returns the rule that a type breaks which generated code has no way to write.
func (c *shapes) unnameable(t types.Type) rule {
	var obj *types.TypeName
	var args *types.TypeList
	switch t := t.(type) {
	case *types.Alias:
		if Nameable(c.pkg, t.Obj()) {
			return 0
		}
		return c.unnameable(t.Rhs()) // which is written instead
	case *types.Named:
		obj, args = t.Obj(), t.TypeArgs()
	default:
		return 0
	}

	if r := unnameable(c.pkg, obj); r != 0 {
		return r
	}
	for arg := range args.Types() {
		if r := c.unnameable(arg); r != 0 {
			return r
		}
	}
	return 0
}

// Nameable reports whether code in a package can use the name of a type.
func Nameable(pkg *types.Package, obj *types.TypeName) bool { return unnameable(pkg, obj) == 0 }

func unnameable(pkg *types.Package, obj *types.TypeName) rule {
	switch {
	case obj.Pkg() == nil || obj.Pkg() == pkg:
		return 0
	case !obj.Exported():
		return ruleTypeUnexported
	case !mayImport(pkg.Path(), obj.Pkg().Path()):
		return ruleTypeInternal
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
			if m.Obj().Name() == name && bare(m.Obj().(*types.Func).Signature()) == "func()" {
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
	if fullName(named.Obj()) == "time.Time" {
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
	return bare(sig), byPointer
}

// bare returns a signature without the names of parameters.
func bare(sig *types.Signature) string {
	strip := func(t *types.Tuple) *types.Tuple {
		var vars []*types.Var
		for v := range t.Variables() {
			vars = append(vars, types.NewParam(token.NoPos, nil, "", types.Unalias(v.Type())))
		}
		return types.NewTuple(vars...)
	}
	return types.NewSignatureType(nil, nil, nil, strip(sig.Params()), strip(sig.Results()),
		sig.Variadic()).String()
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

// fullName returns a type's import path, a dot and its name.
func fullName(obj *types.TypeName) string {
	if obj.Pkg() == nil {
		return obj.Name()
	}
	return obj.Pkg().Path() + "." + obj.Name()
}

// Parts returns the shapes that a shape is made of.
func (s *Shape) Parts() []*Shape {
	var parts []*Shape
	s.children(func(_ string, child *Shape) bool {
		parts = append(parts, child)
		return true
	})
	return parts
}
