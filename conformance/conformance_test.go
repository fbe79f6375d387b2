package conformance

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"unicode"

	"github.com/bufbuild/protocompile"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/divisi-go/divisi/envelope/protos"
)

// messages are all messages that are not within one of these.
var messages = []protos.Message{
	&protos.EnvelopeMsg{}, &protos.WeaveletMsg{}, &protos.AppConfig{}, &protos.MetricSnapshot{},
}

// compile compiles the file.
func compile(t testing.TB) protoreflect.FileDescriptor {
	t.Helper()
	compiler := protocompile.Compiler{Resolver: &protocompile.SourceResolver{
		ImportPaths: []string{"../envelope/protos"},
	}}
	files, err := compiler.Compile(t.Context(), "runtime.proto")
	if err != nil {
		t.Fatal(err)
	}
	return files[0]
}

// describe returns what the file says of a message, by the name that it has in Go.
func describe(t testing.TB, file protoreflect.FileDescriptor, m reflect.Type) protoreflect.MessageDescriptor {
	t.Helper()
	d := find(file.Messages(), strings.Split(m.Name(), "_"))
	if d == nil {
		t.Fatalf("the file lacks the message %s", m.Name())
	}
	return d
}

func find(all protoreflect.MessageDescriptors, path []string) protoreflect.MessageDescriptor {
	d := all.ByName(protoreflect.Name(path[0]))
	if d == nil || len(path) == 1 {
		return d
	}
	return find(d.Messages(), path[1:])
}

// snake makes dial_addr of DialAddr.
func snake(name string) string {
	var b strings.Builder
	for i, r := range name {
		if unicode.IsUpper(r) && i > 0 {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

// goType returns the type that a field has in Go.
func goType(f protoreflect.FieldDescriptor) string {
	switch {
	case f.IsMap():
		return "map[string]" + element(f.MapValue())
	case f.IsList():
		return "[]" + element(f)
	}
	return element(f)
}

func element(f protoreflect.FieldDescriptor) string {
	name := func(d protoreflect.Descriptor) string {
		return strings.ReplaceAll(strings.TrimPrefix(string(d.FullName()), "runtime."), ".", "_")
	}
	switch f.Kind() {
	case protoreflect.MessageKind:
		return "*message." + name(f.Message())
	case protoreflect.EnumKind:
		return "message." + name(f.Enum())
	case protoreflect.BytesKind:
		return "[]uint8"
	case protoreflect.DoubleKind:
		return "float64"
	case protoreflect.Sfixed64Kind:
		return "int64"
	}
	return f.Kind().String()
}

// visit calls see for a message's type and those of all messages within.
func visit(m reflect.Type, seen map[string]bool, see func(reflect.Type)) {
	for m.Kind() == reflect.Pointer || m.Kind() == reflect.Slice || m.Kind() == reflect.Map {
		m = m.Elem()
	}
	if m.Kind() != reflect.Struct || seen[m.Name()] {
		return
	}
	seen[m.Name()] = true
	see(m)
	for field := range m.Fields() {
		visit(field.Type, seen, see)
	}
}

// TestFields compares names and types. That the numbers are the same is seen by the number that a
// message with one field is written with.
func TestFields(t *testing.T) {
	file := compile(t)
	seen := map[string]bool{}
	for _, m := range messages {
		visit(reflect.TypeOf(m), seen, func(m reflect.Type) {
			d := describe(t, file, m)
			if got, want := d.Fields().Len(), m.NumField(); got != want {
				t.Errorf("%s has %d fields in the file and %d in Go", m.Name(), got, want)
			}
			for field := range m.Fields() {
				f := d.Fields().ByName(protoreflect.Name(snake(field.Name)))
				if f == nil {
					t.Errorf("the file lacks %s.%s", m.Name(), snake(field.Name))
					continue
				}
				if got := goType(f); got != field.Type.String() {
					t.Errorf("%s is a %s in the file and a %v in Go", f.FullName(), got, field.Type)
				}
				if got := numberOf(t, m, field); got != f.Number() {
					t.Errorf("%s has the number %d in the file and %d in Go", f.FullName(), f.Number(), got)
				}
			}
		})
	}
	var extra func(protoreflect.MessageDescriptors)
	extra = func(all protoreflect.MessageDescriptors) {
		for i := range all.Len() {
			d := all.Get(i)
			name := strings.ReplaceAll(strings.TrimPrefix(string(d.FullName()), "runtime."), ".", "_")
			if !seen[name] && !d.IsMapEntry() {
				t.Errorf("Go lacks the message %s", name)
			}
			extra(d.Messages())
		}
	}
	extra(file.Messages())
}

// numberOf returns the number of a field in Go.
func numberOf(t *testing.T, m reflect.Type, field reflect.StructField) protowire.Number {
	t.Helper()
	v := reflect.New(m)
	target := v.Elem().FieldByIndex(field.Index)
	r := rand.New(rand.NewPCG(1, 1))
	for range 1000 {
		if fill(r, target, 0); !target.IsZero() {
			break
		}
	}
	number, _, n := protowire.ConsumeTag(protos.Marshal(v.Interface().(protos.Message)))
	if n < 0 {
		t.Fatalf("%s.%s is not written", m.Name(), field.Name)
	}
	return number
}

// TestEnums compares the names of the values of enumerations.
func TestEnums(t *testing.T) {
	file := compile(t)
	seen := map[string]bool{}
	for _, m := range messages {
		visit(reflect.TypeOf(m), seen, func(m reflect.Type) {
			d := describe(t, file, m)
			for field := range m.Fields() {
				f := d.Fields().ByName(protoreflect.Name(snake(field.Name)))
				if f == nil || f.Enum() == nil {
					continue
				}
				values := f.Enum().Values()
				for i := range values.Len() + 1 {
					v := reflect.New(field.Type).Elem()
					v.SetInt(int64(i))
					want := fmt.Sprint(i) // of a value that has no name
					if d := values.ByNumber(protoreflect.EnumNumber(i)); d != nil {
						want = string(d.Name())
					}
					if got := fmt.Sprint(v.Interface()); got != want {
						t.Errorf("value %d of %s is %s in the file and %s in Go", i, f.Enum().FullName(), want, got)
					}
				}
			}
		})
	}
}

// fill sets a value at random.
func fill(r *rand.Rand, v reflect.Value, depth int) {
	switch v.Kind() {
	case reflect.String:
		v.SetString([]string{"", "a", "größer\x00", strings.Repeat("x", 200)}[r.IntN(4)])
	case reflect.Bool:
		v.SetBool(r.IntN(2) == 0)
	case reflect.Int32:
		if v.Type().PkgPath() != "" {
			v.SetInt(int64(r.IntN(4)))
			return
		}
		v.SetInt(int64(int32(number(r))))
	case reflect.Int64:
		v.SetInt(int64(number(r)))
	case reflect.Uint64:
		v.SetUint(number(r))
	case reflect.Float64:
		v.SetFloat([]float64{0, math.Copysign(0, -1), 1.5, math.Inf(1), -1e300}[r.IntN(5)])
	case reflect.Slice:
		n := r.IntN(4)
		if n == 0 {
			return // an empty one is not distinct from nil
		}
		v.Set(reflect.MakeSlice(v.Type(), n, n))
		if v.Type().Elem().Kind() == reflect.Uint8 {
			v.SetBytes([]byte{0xff, 0, byte(r.IntN(256))})
			return
		}
		for i := range n {
			if e := v.Index(i); e.Kind() == reflect.Pointer { // a list has no absent messages
				e.Set(reflect.New(e.Type().Elem()))
				fields(r, e.Elem(), depth+1)
			} else if e.Kind() == reflect.Slice {
				e.SetBytes([]byte{byte(i), 0x80})
			} else {
				fill(r, e, depth)
			}
		}
	case reflect.Map:
		if r.IntN(3) == 0 {
			return
		}
		v.Set(reflect.MakeMap(v.Type()))
		for _, key := range []string{"", "b", "a", "é"}[:1+r.IntN(4)] {
			value := reflect.New(v.Type().Elem()).Elem()
			if value.Kind() == reflect.Pointer {
				value.Set(reflect.New(value.Type().Elem()))
				fields(r, value.Elem(), depth+1)
			} else {
				fill(r, value, depth)
			}
			v.SetMapIndex(reflect.ValueOf(key), value)
		}
	case reflect.Pointer:
		if r.IntN(depth+1) > 1 {
			return
		}
		v.Set(reflect.New(v.Type().Elem()))
		fields(r, v.Elem(), depth+1)
	default:
		panic(fmt.Sprintf("no message has a %v", v.Type()))
	}
}

func fields(r *rand.Rand, v reflect.Value, depth int) {
	if value, ok := v.Addr().Interface().(*protos.Span_Attribute_Value); ok {
		// The file has a oneof here, of which the type says which one is set.
		value.Type = protos.Span_Attribute_Value_Type(r.IntN(9))
		if value.Type > 0 {
			fill(r, v.Field([]int{1, 1, 1, 2, 3, 3, 3, 4}[value.Type-1]), depth)
		}
		return
	}
	for _, field := range v.Fields() {
		fill(r, field, depth)
	}
}

func number(r *rand.Rand) uint64 {
	return []uint64{0, 1, 127, 128, 1<<32 - 1, 1 << 63, math.MaxUint64, r.Uint64()}[r.IntN(8)]
}

// TestRandomMessages writes messages by both ways and reads them by the other.
func TestRandomMessages(t *testing.T) {
	file := compile(t)
	seen := map[string]bool{}
	for _, m := range messages {
		visit(reflect.TypeOf(m), seen, func(m reflect.Type) {
			d := describe(t, file, m)
			r := rand.New(rand.NewPCG(1, uint64(len(m.Name()))))
			for range 50 {
				v := reflect.New(m)
				fields(r, v.Elem(), 0)
				compare(t, d, v.Interface().(protos.Message))
			}
		})
	}
	if len(seen) < 50 {
		t.Errorf("only %d types of messages are seen", len(seen))
	}
}

func compare(t *testing.T, d protoreflect.MessageDescriptor, ours protos.Message) {
	t.Helper()
	data := protos.Marshal(ours)
	theirs := dynamicpb.NewMessage(d)
	if err := (proto.UnmarshalOptions{}).Unmarshal(data, theirs); err != nil {
		t.Fatalf("%s: %v", d.Name(), err)
	}
	unknown(t, theirs)
	written, err := proto.MarshalOptions{Deterministic: true}.Marshal(theirs)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(data, written) {
		t.Fatalf("%s is written as\n%.500x and\n%.500x", d.Name(), data, written)
	}
	back := reflect.New(reflect.TypeOf(ours).Elem())
	if err := protos.Unmarshal(written, back.Interface().(protos.Message)); err != nil {
		t.Fatal(err)
	}
	if again := protos.Marshal(back.Interface().(protos.Message)); !bytes.Equal(again, data) {
		t.Fatalf("%s is written as\n%.500x and then as\n%.500x", d.Name(), data, again)
	}
}

// unknown fails the test if a message has fields that the file does not.
func unknown(t *testing.T, m protoreflect.Message) {
	t.Helper()
	if rest := m.GetUnknown(); len(rest) > 0 {
		t.Fatalf("the file's %s lacks what %x says", m.Descriptor().Name(), rest)
	}
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case f.IsMap():
			v.Map().Range(func(_ protoreflect.MapKey, v protoreflect.Value) bool {
				if f.MapValue().Message() != nil {
					unknown(t, v.Message())
				}
				return true
			})
		case f.IsList() && f.Message() != nil:
			for i := range v.List().Len() {
				unknown(t, v.List().Get(i).Message())
			}
		case f.Message() != nil:
			unknown(t, v.Message())
		}
		return true
	})
}
