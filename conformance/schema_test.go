package conformance

import (
	"context"
	"reflect"
	"strings"
	"testing"
	"unicode"

	"github.com/bufbuild/protocompile"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/divisi-go/divisi/envelope/protos"
)

// schema compiles the file that describes the messages.
func schema(t testing.TB) protoreflect.FileDescriptor {
	t.Helper()
	compiler := protocompile.Compiler{
		Resolver: &protocompile.SourceResolver{ImportPaths: []string{"../envelope/protos"}},
	}
	files, err := compiler.Compile(context.Background(), "runtime.proto")
	if err != nil {
		t.Fatal(err)
	}
	return files[0]
}

// described returns all messages of the file by the names of their Go types, without the entries
// of maps.
func described(t testing.TB) map[string]protoreflect.MessageDescriptor {
	all := map[string]protoreflect.MessageDescriptor{}
	var add func(protoreflect.MessageDescriptors)
	add = func(messages protoreflect.MessageDescriptors) {
		for i := range messages.Len() {
			if m := messages.Get(i); !m.IsMapEntry() {
				all[goName(m)] = m
				add(m.Messages())
			}
		}
	}
	add(schema(t).Messages())
	return all
}

// goName is the name of a message's Go type: nested names are joined by underscores.
func goName(d protoreflect.Descriptor) string {
	return strings.ReplaceAll(strings.TrimPrefix(string(d.FullName()), "runtime."), ".", "_")
}

// written returns the Go types of all messages by their names.
func written() map[string]reflect.Type {
	all := map[string]reflect.Type{}
	var add func(reflect.Type)
	add = func(t reflect.Type) {
		switch t.Kind() {
		case reflect.Pointer, reflect.Slice, reflect.Map:
			add(t.Elem())
		case reflect.Struct:
			if _, ok := all[t.Name()]; !ok {
				all[t.Name()] = t
				for i := range t.NumField() {
					add(t.Field(i).Type)
				}
			}
		}
	}
	for _, root := range []protos.Message{
		&protos.EnvelopeMsg{}, &protos.WeaveletMsg{}, &protos.AppConfig{}, &protos.MetricSnapshot{},
	} {
		add(reflect.TypeOf(root))
	}
	return all
}

// fieldName is the name of a field in Go: dial_addr is DialAddr.
func fieldName(f protoreflect.FieldDescriptor) string {
	var b strings.Builder
	for word := range strings.SplitSeq(string(f.Name()), "_") {
		for i, r := range word {
			if i == 0 {
				r = unicode.ToUpper(r)
			}
			b.WriteRune(r)
		}
	}
	return b.String()
}

// goType is how the type of a field is written in Go.
func goType(f protoreflect.FieldDescriptor) string {
	if f.IsMap() {
		return "map[" + scalar(f.MapKey()) + "]" + scalar(f.MapValue())
	}
	if f.IsList() {
		return "[]" + scalar(f)
	}
	return scalar(f)
}

func scalar(f protoreflect.FieldDescriptor) string {
	switch f.Kind() {
	case protoreflect.MessageKind:
		return "*protos." + goName(f.Message())
	case protoreflect.EnumKind:
		return "protos." + goName(f.Enum())
	case protoreflect.DoubleKind:
		return "float64"
	case protoreflect.Sfixed64Kind:
		return "int64"
	case protoreflect.BytesKind:
		return "[]uint8"
	default:
		return f.Kind().String()
	}
}

// TestSameMessages compares messages, fields and types by name.
func TestSameMessages(t *testing.T) {
	described, written := described(t), written()
	for name, d := range described {
		typ, ok := written[name]
		if !ok {
			t.Errorf("%s has no Go type", name)
			continue
		}
		fields := d.Fields()
		for i := range fields.Len() {
			f := fields.Get(i)
			field, ok := typ.FieldByName(fieldName(f))
			if !ok {
				t.Errorf("%s: no field %s", name, fieldName(f))
			} else if got := field.Type.String(); got != goType(f) {
				t.Errorf("%s.%s is %s, want %s", name, field.Name, got, goType(f))
			}
		}
		if fields.Len() != typ.NumField() {
			t.Errorf("%s has %d fields, want %d", name, typ.NumField(), fields.Len())
		}
	}
	for name := range written {
		if _, ok := described[name]; !ok {
			t.Errorf("%s is not in the file", name)
		}
	}
}

// TestSameEnumerations compares the names of values.
func TestSameEnumerations(t *testing.T) {
	seen := map[string]bool{}
	for name, d := range described(t) {
		for i := range d.Fields().Len() {
			f := d.Fields().Get(i)
			if f.Kind() != protoreflect.EnumKind {
				continue
			}
			field, ok := written()[name].FieldByName(fieldName(f))
			if !ok {
				t.Fatalf("%s: no field %s", name, fieldName(f))
			}
			seen[field.Type.Name()] = true
			values := f.Enum().Values()
			for i := range values.Len() {
				v := reflect.New(field.Type).Elem()
				v.SetInt(int64(values.Get(i).Number()))
				if got, want := v.Interface().(interface{ String() string }).String(), string(values.Get(i).Name()); got != want {
					t.Errorf("%v %d is called %s, want %s", field.Type, v.Int(), got, want)
				}
			}
		}
	}
	if len(seen) < 5 {
		t.Errorf("only the enumerations %v were found", seen)
	}
}
