package shape

import (
	"fmt"
	"go/types"
	"hash/fnv"
	"strings"
)

// Layout returns a hash of everything that the encoding of a method's calls depends on: the types of
// its arguments and results down to the last field, and of what it streams, if anything. Equal layouts
// can read each other.
func Layout(args, results []*Shape, stream *Shape) uint64 {
	w := &layoutWriter{seen: map[string]bool{}}
	w.list("args", args)
	w.list("results", results)
	if stream != nil {
		w.list("stream", []*Shape{stream})
	}
	h := fnv.New64a()
	h.Write([]byte(w.b.String()))
	return h.Sum64()
}

// layoutWriter writes types in full. A named type is expanded where it first occurs.
type layoutWriter struct {
	b    strings.Builder
	seen map[string]bool
}

func (w *layoutWriter) list(title string, shapes []*Shape) {
	fmt.Fprintf(&w.b, "%s %d\n", title, len(shapes))
	for _, s := range shapes {
		w.shape(s)
		w.b.WriteByte('\n')
	}
}

func (w *layoutWriter) shape(s *Shape) {
	if s.Named() != nil {
		name := types.TypeString(types.Unalias(s.Type), (*types.Package).Path)
		w.b.WriteString(name)
		if w.seen[name] {
			return
		}
		w.seen[name] = true
		w.b.WriteByte('=')
	}
	switch s.Kind {
	case Basic:
		w.b.WriteString(s.Basic)
	case Pointer:
		w.b.WriteByte('*')
		w.shape(s.Elem)
	case Slice:
		w.b.WriteString("[]")
		w.shape(s.Elem)
	case Array:
		fmt.Fprintf(&w.b, "[%d]", s.Len)
		w.shape(s.Elem)
	case Map:
		w.b.WriteString("map[")
		w.shape(s.Key)
		w.b.WriteByte(']')
		w.shape(s.Elem)
	case Struct, Auto:
		w.b.WriteByte('{')
		for _, f := range s.Fields {
			w.b.WriteString(f.Name + " ")
			w.shape(f.Shape)
			w.b.WriteByte(';')
		}
		w.b.WriteByte('}')
	case Binary:
		w.b.WriteString("binary")
	case Text:
		w.b.WriteString("text")
	case Proto:
		fmt.Fprintf(&w.b, "proto %s", types.TypeString(s.Type, (*types.Package).Path))
	default:
		panic(unknownKind(s.Kind))
	}
}
