package message

import (
	"bytes"
	"encoding/binary"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// roots are the messages from which every other one is reached by fields.
var roots = []Message{&EnvelopeMsg{}, &WeaveletMsg{}, &AppConfig{}, &MetricSnapshot{}}

// allMessages returns the types of all messages, by name.
func allMessages(t testing.TB) map[string]reflect.Type {
	types := map[string]reflect.Type{}
	var add func(reflect.Type)
	add = func(typ reflect.Type) {
		switch typ.Kind() {
		case reflect.Pointer, reflect.Slice, reflect.Map:
			add(typ.Elem())
		case reflect.Struct:
			if types[typ.Name()] == nil {
				types[typ.Name()] = typ
				for i := range typ.NumField() {
					add(typ.Field(i).Type)
				}
			}
		}
	}
	for _, m := range roots {
		add(reflect.TypeOf(m))
	}
	return types
}

// TestAllMessagesAreReached reads this package's source, so that no message is left out of the
// tests that go through all of them.
func TestAllMessagesAreReached(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	types, found := allMessages(t), 0
	for _, file := range files {
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || fn.Name.Name != "visit" || fn.Recv == nil {
				continue
			}
			name := fn.Recv.List[0].Type.(*ast.StarExpr).X.(*ast.Ident).Name
			if ast.IsExported(name) {
				found++
				if types[name] == nil {
					t.Errorf("%s is reached from no root", name)
				}
			}
		}
	}
	if found != len(types) {
		t.Errorf("%d messages in the source, %d by reflection", found, len(types))
	}
}

// fill sets everything below v to values that are not zero and differ.
func fill(v reflect.Value, next *int) {
	*next++
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), next)
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), next)
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 3, 3))
		for i := range 3 {
			fill(v.Index(i), next)
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for range 3 {
			key, val := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
			fill(key, next)
			fill(val, next)
			v.SetMapIndex(key, val)
		}
	case reflect.String:
		v.SetString(strings.Repeat("é", *next%200) + string(rune('a'+*next%26)))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int32, reflect.Int64:
		v.SetInt(int64(*next) * map[bool]int64{true: 1, false: -1}[*next%2 == 0])
	case reflect.Uint8:
		v.SetUint(uint64(*next%255 + 1))
	case reflect.Uint64:
		v.SetUint(1<<63 + uint64(*next))
	case reflect.Float64:
		v.SetFloat(float64(*next) / 7)
	default:
		panic(v.Type())
	}
}

func filled(typ reflect.Type) Message {
	v, next := reflect.New(typ), 0
	fill(v.Elem(), &next)
	return v.Interface().(Message)
}

func TestRoundTrip(t *testing.T) {
	for name, typ := range allMessages(t) {
		want := filled(typ)
		data := Marshal(want)
		got := reflect.New(typ).Interface().(Message)
		if err := Unmarshal(data, got); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\ngot  %+v\nwant %+v", name, got, want)
		}
		for range 5 { // maps are in the order of their keys
			if !bytes.Equal(Marshal(got), data) {
				t.Errorf("%s has other bytes the second time", name)
			}
		}
		if zero := Marshal(reflect.New(typ).Interface().(Message)); len(zero) != 0 {
			t.Errorf("%s: without fields it has the bytes %x", name, zero)
		}
		for i := range typ.NumField() {
			one := reflect.New(typ)
			next := i
			fill(one.Elem().Field(i), &next)
			back := reflect.New(typ)
			data := Marshal(one.Interface().(Message))
			if err := Unmarshal(data, back.Interface().(Message)); err != nil || len(data) == 0 ||
				!reflect.DeepEqual(back.Interface(), one.Interface()) {
				t.Errorf("%s.%s: got %+v, want %+v (%v)", name, typ.Field(i).Name, back, one, err)
			}
		}
	}
}

// unknown are fields that no message has, one of each wire type.
func unknown() []byte {
	out := binary.AppendUvarint(nil, 3000<<3|typeVarint)
	out = binary.AppendUvarint(out, 1<<64-1)
	out = binary.AppendUvarint(out, 3001<<3|typeFixed64)
	out = append(out, 1, 2, 3, 4, 5, 6, 7, 8)
	out = binary.AppendUvarint(out, 3002<<3|typeBytes)
	out = append(out, 3, 0xff, 0xff, 0xff)
	out = binary.AppendUvarint(out, (1<<29-1)<<3|typeFixed32)
	return append(out, 1, 2, 3, 4)
}

// TestUnknownFields puts fields of the future around and into a message.
func TestUnknownFields(t *testing.T) {
	for name, typ := range allMessages(t) {
		want := filled(typ)
		data := slices.Concat(unknown(), Marshal(want), unknown())
		got := reflect.New(typ).Interface().(Message)
		if err := Unmarshal(data, got); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v\ngot  %+v\nwant %+v", name, err, got, want)
		}
	}
	inner := unknown()
	data := append([]byte{3<<3 | typeBytes, byte(len(inner))}, inner...)
	var m EnvelopeMsg
	if err := Unmarshal(data, &m); err != nil || m.GetHealthRequest == nil {
		t.Errorf("%+v, %v", m, err)
	}
}

// TestMerge is about what the encoding allows besides what Marshal writes.
func TestMerge(t *testing.T) {
	one := &EnvelopeMsg{Id: 1, EnvelopeInfo: &EnvelopeInfo{App: "a", Sections: map[string]string{"x": "1", "y": "1"}, Features: []string{"f"}}}
	two := &EnvelopeMsg{Id: 2, EnvelopeInfo: &EnvelopeInfo{Id: "b", Sections: map[string]string{"y": "2"}, Features: []string{"g"}}}
	var got EnvelopeMsg
	if err := Unmarshal(append(Marshal(one), Marshal(two)...), &got); err != nil {
		t.Fatal(err)
	}
	want := &EnvelopeMsg{Id: 2, EnvelopeInfo: &EnvelopeInfo{
		App: "a", Id: "b", Sections: map[string]string{"x": "1", "y": "2"}, Features: []string{"f", "g"},
	}}
	if !reflect.DeepEqual(&got, want) {
		t.Errorf("got %+v, want %+v", got.EnvelopeInfo, want.EnvelopeInfo)
	}
	var value MetricValue // counts that are not packed
	if err := Unmarshal([]byte{0x18, 1, 0x1a, 2, 2, 3, 0x18, 4}, &value); err != nil || !slices.Equal(value.Counts, []uint64{1, 2, 3, 4}) {
		t.Errorf("%v, %v", value.Counts, err)
	}
	var def MetricDef
	bound := []byte{0, 0, 0, 0, 0, 0, 0xf0, 0x3f}
	if err := Unmarshal(slices.Concat([]byte{0x31}, bound, []byte{0x32, 8}, bound), &def); err != nil || !slices.Equal(def.Bounds, []float64{1, 1}) {
		t.Errorf("%v, %v", def.Bounds, err)
	}
	var level LogEntry // numbers of more than 32 bits lose what is above
	if err := Unmarshal([]byte{0x40, 0x81, 0x80, 0x80, 0x80, 0x10}, &level); err != nil || level.Line != 1 {
		t.Errorf("%v, %v", level.Line, err)
	}
}

// TestInvalidText: a peer with the Protocol Buffers runtime accepts only UTF-8.
func TestInvalidText(t *testing.T) {
	var got LogEntry
	if err := Unmarshal(Marshal(&LogEntry{Msg: "a\xffb", Attrs: []string{"\xc3(", "ok"}}), &got); err != nil {
		t.Fatal(err)
	}
	if got.Msg != "a\uFFFDb" || got.Attrs[0] != "\uFFFD(" || got.Attrs[1] != "ok" {
		t.Errorf("%q %q", got.Msg, got.Attrs)
	}
	var config AppConfig
	if err := Unmarshal(Marshal(&AppConfig{Sections: map[string]string{"\xff": "\xff"}}), &config); err != nil || config.Sections["\uFFFD"] != "\uFFFD" {
		t.Errorf("%q, %v", config.Sections, err)
	}
}

func TestMalformed(t *testing.T) {
	for name, tc := range map[string]struct {
		data []byte
		want string
	}{
		"tag without an end":       {[]byte{0x80}, errVarint.Error()},
		"tag of 70 bits":           {bytes.Repeat([]byte{0xff}, 10), errVarint.Error()},
		"no value":                 {[]byte{0x08}, errVarint.Error()},
		"value of 70 bits":         {append([]byte{0x08}, bytes.Repeat([]byte{0x80}, 10)...), errVarint.Error()},
		"field 0":                  {[]byte{0x00, 0x00}, "no field can have the number 0"},
		"field of 2^29":            {binary.AppendUvarint(nil, 1<<32), "no field can have the number 536870912"},
		"length without an end":    {[]byte{0x12, 0xff}, errVarint.Error()},
		"length of the address":    {[]byte{0x12, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01}, errShort.Error()},
		"length of 2 GiB":          {[]byte{0x12, 0x80, 0x80, 0x80, 0x80, 0x08, 1, 2}, errShort.Error()},
		"text that ends":           {[]byte{0x4a, 3, 'a', 'b'}, errShort.Error()},
		"fixed number that ends":   {[]byte{0x29, 1, 2, 3}, errShort.Error()},
		"fixed32 that ends":        {[]byte{0x2d, 1, 2, 3}, errShort.Error()},
		"a group":                  {[]byte{0x0b}, "unknown wire type 3"},
		"wire type 7":              {[]byte{0x0f}, "unknown wire type 7"},
		"id as text":               {[]byte{0x0a, 1, '1'}, "field 1: wire type 2 where 0 belongs"},
		"error as a number":        {[]byte{0x48, 1}, "field 9: wire type 0 where 2 belongs"},
		"request as a number":      {[]byte{0x18, 1}, "field 3: wire type 0 where 2 belongs"},
		"inside a message":         {[]byte{0x12, 2, 0x0a, 9}, "field 2: " + errShort.Error()},
		"inside an entry of a map": {[]byte{0x12, 4, 0x22, 2, 0x0a, 9}, "field 2: field 4: " + errShort.Error()},
	} {
		err := Unmarshal(tc.data, &EnvelopeMsg{})
		if err == nil || err.Error() != tc.want {
			t.Errorf("%s: %v, want %s", name, err, tc.want)
		}
	}
	for name, data := range map[string][]byte{
		"packed number without an end": {0x1a, 1, 0x80},
		"value as text":                {0x12, 0},
	} {
		if err := Unmarshal(data, &MetricValue{}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if err := Unmarshal([]byte{0x32, 7, 1, 2, 3, 4, 5, 6, 7}, &MetricDef{}); !errors.Is(err, errShort) {
		t.Errorf("doubles of seven bytes: %v", err)
	}
	if err := Unmarshal([]byte{0x30, 1}, &MetricDef{}); err == nil {
		t.Error("doubles as a number: no error")
	}
}

// deep nests in itself, as no message of the protocol does.
type deep struct{ In *deep }

func (m *deep) visit(v *visitor) { message(v, 1, &m.In) }

func TestNesting(t *testing.T) {
	nested := func(levels int) []byte {
		m := &deep{}
		for range levels {
			m = &deep{In: m}
		}
		return Marshal(m)
	}
	if err := Unmarshal(nested(maxNesting), &deep{}); err != nil {
		t.Error(err)
	}
	if err := Unmarshal(nested(maxNesting+1), &deep{}); !errors.Is(err, errDeep) {
		t.Errorf("error %v", err)
	}
}

// TestClaimedLength: what a length claims costs nothing before the bytes are there.
func TestClaimedLength(t *testing.T) {
	data := append(binary.AppendUvarint([]byte{0x12}, 2<<30), 1, 2, 3, 4)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range 100 {
		if err := Unmarshal(data, &EnvelopeMsg{}); !errors.Is(err, errShort) {
			t.Fatal(err)
		}
	}
	runtime.ReadMemStats(&after)
	if took := after.TotalAlloc - before.TotalAlloc; took > 1<<20 {
		t.Errorf("a hundred messages of 11 bytes took %d bytes", took)
	}
}

func TestEnumNames(t *testing.T) {
	for want, e := range map[string]interface{ String() string }{
		"TERMINATED": HealthStatus_TERMINATED, "HISTOGRAM": MetricType_HISTOGRAM,
		"CPU": ProfileType_CPU, "CONSUMER": Span_CONSUMER, "OK": Span_Status_OK,
		"STRINGLIST": Span_Attribute_Value_STRINGLIST, "99": HealthStatus(99), "-1": HealthStatus(-1),
	} {
		if e.String() != want {
			t.Errorf("%s, want %s", e, want)
		}
	}
}

// fuzz decodes anything: whatever is accepted is the same message after being written again.
func fuzz(f *testing.F, seed Message) {
	typ := reflect.TypeOf(seed).Elem()
	f.Add(Marshal(seed))
	f.Add(Marshal(filled(typ)))
	f.Add(unknown())
	for _, tc := range golden {
		f.Add(Marshal(tc.message))
	}
	f.Add([]byte{0x12, 0x80, 0x80, 0x80, 0x80, 0x08, 1, 2})
	f.Fuzz(func(t *testing.T, data []byte) {
		first := reflect.New(typ).Interface().(Message)
		second := reflect.New(typ).Interface().(Message)
		if Unmarshal(data, first) != nil {
			return
		}
		once := Marshal(first)
		if err := Unmarshal(once, second); err != nil {
			t.Fatalf("%x is written as %x, which is refused: %v", data, once, err)
		}
		if twice := Marshal(second); !bytes.Equal(once, twice) {
			t.Fatalf("%x is written as %x, and then as %x", data, once, twice)
		}
	})
}

func FuzzEnvelopeMsg(f *testing.F) { fuzz(f, &EnvelopeMsg{Id: 42}) }

func FuzzWeaveletMsg(f *testing.F) { fuzz(f, &WeaveletMsg{Id: -42}) }
