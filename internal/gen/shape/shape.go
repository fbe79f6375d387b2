// Package shape says how the values of types are encoded.
package shape

import (
	"fmt"
	"go/types"
	"slices"

	"github.com/divisi-go/divisi/internal/gen/rule"
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

	// Rule is the one that the type breaks, if it is Bad or must not be copied.
	Rule rule.Rule
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

// Parts returns the shapes that a shape is made of.
func (s *Shape) Parts() []*Shape {
	var parts []*Shape
	s.children(func(_ string, child *Shape) bool {
		parts = append(parts, child)
		return true
	})
	return parts
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

// unknownKind is thrown where a switch over the kinds has been forgotten.
func unknownKind(k Kind) string { return fmt.Sprintf("there is no case for shapes of kind %d", k) }

// Unfit returns the first part of a shape that cannot be encoded, and the way to it.
func (s *Shape) Unfit() (string, *Shape) {
	seen := map[*Shape]bool{}
	var find func(string, *Shape) (string, *Shape)
	find = func(way string, s *Shape) (foundWay string, found *Shape) {
		if s.Rule != 0 {
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
		if slices.Contains(immutable, FullName(named.Obj())) {
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
