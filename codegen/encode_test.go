package codegen

import (
	"errors"
	"math"
	"math/big"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"
)

// roundTrip encodes a value and decodes it again, to the last byte.
func roundTrip[T any](t *testing.T, v T, enc func(*Encoder, T), dec func(*Decoder) T) T {
	t.Helper()
	var e Encoder
	enc(&e, v)
	if err := e.Err(); err != nil {
		t.Fatalf("encoding %v: %v", v, err)
	}
	d := NewDecoder(e.Data(), nil)
	got := dec(&d)
	if err := d.Done(); err != nil {
		t.Fatalf("decoding %v: %v", v, err)
	}
	return got
}

func checkRoundTrip[T any](t *testing.T, enc func(*Encoder, T), dec func(*Decoder) T, values ...T) {
	t.Helper()
	for _, v := range values {
		if got := roundTrip(t, v, enc, dec); !reflect.DeepEqual(got, v) {
			t.Errorf("%#v came back as %#v", v, got)
		}
	}
}

func TestScalars(t *testing.T) {
	checkRoundTrip(t, (*Encoder).Bool, (*Decoder).Bool, true, false)
	checkRoundTrip(t, (*Encoder).Int, (*Decoder).Int, 0, 1, -1, math.MaxInt, math.MinInt)
	checkRoundTrip(t, (*Encoder).Int8, (*Decoder).Int8, 0, math.MaxInt8, math.MinInt8)
	checkRoundTrip(t, (*Encoder).Int16, (*Decoder).Int16, 0, math.MaxInt16, math.MinInt16)
	checkRoundTrip(t, (*Encoder).Int32, (*Decoder).Int32, 0, math.MaxInt32, math.MinInt32)
	checkRoundTrip(t, (*Encoder).Int64, (*Decoder).Int64, 0, math.MaxInt64, math.MinInt64)
	checkRoundTrip(t, (*Encoder).Uint, (*Decoder).Uint, 0, math.MaxUint)
	checkRoundTrip(t, (*Encoder).Uint8, (*Decoder).Uint8, 0, math.MaxUint8)
	checkRoundTrip(t, (*Encoder).Uint16, (*Decoder).Uint16, 0, math.MaxUint16)
	checkRoundTrip(t, (*Encoder).Uint32, (*Decoder).Uint32, 0, math.MaxUint32)
	checkRoundTrip(t, (*Encoder).Uint64, (*Decoder).Uint64, 0, math.MaxUint64)
	checkRoundTrip(t, (*Encoder).Float32, (*Decoder).Float32, 0, -1.5, float32(math.Inf(1)))
	checkRoundTrip(t, (*Encoder).Float64, (*Decoder).Float64, 0, math.Pi, math.Inf(-1))
	checkRoundTrip(t, (*Encoder).Complex64, (*Decoder).Complex64, 0, complex(1, -2))
	checkRoundTrip(t, (*Encoder).Complex128, (*Decoder).Complex128, 0, complex(-1, 2))
	checkRoundTrip(t, (*Encoder).String, (*Decoder).String, "", "a\x00\xff", strings.Repeat("x", 1000))
	checkRoundTrip(t, (*Encoder).Bytes, (*Decoder).Bytes, nil, []byte{}, []byte("abc"))
}

func TestFloatBits(t *testing.T) {
	for _, bits := range []uint64{1 << 63, 0x7ff8000000000001, 0xfff0dead00000001} {
		got := roundTrip(t, math.Float64frombits(bits), (*Encoder).Float64, (*Decoder).Float64)
		if math.Float64bits(got) != bits {
			t.Errorf("bits %x came back as %x", bits, math.Float64bits(got))
		}
	}
}

func TestTime(t *testing.T) {
	east := time.FixedZone("", 5*3600+30*60)
	checkRoundTrip(t, (*Encoder).Time, (*Decoder).Time,
		time.Time{},
		time.Unix(0, 0).UTC(),
		time.Date(2024, 2, 29, 23, 59, 59, 999999999, time.UTC),
		time.Date(-5000, 1, 1, 0, 0, 0, 1, time.UTC))
	for _, zone := range []*time.Location{east, time.FixedZone("", 0), time.FixedZone("", -9*3600),
		time.FixedZone("", 19*60+32), time.FixedZone("", -24*3600+1)} {
		v := time.Date(2024, 7, 1, 12, 0, 0, 5, zone)
		got := roundTrip(t, v, (*Encoder).Time, (*Decoder).Time)
		_, want := v.Zone()
		if _, offset := got.Zone(); !got.Equal(v) || offset != want {
			t.Errorf("%v came back as %v", v, got)
		}
	}
	now := time.Now()
	if got := roundTrip(t, now, (*Encoder).Time, (*Decoder).Time); !got.Equal(now) {
		t.Errorf("%v came back as %v", now, got)
	}
}

func encInts(e *Encoder, v []int)  { EncSlice(e, v, (*Encoder).Int) }
func decInts(d *Decoder) []int     { return DecSlice(d, 8, (*Decoder).Int) }
func encWord(e *Encoder, v string) { e.String(v) }

func TestComposites(t *testing.T) {
	checkRoundTrip(t, encInts, decInts, nil, []int{}, []int{1, -2, 3})
	checkRoundTrip(t,
		func(e *Encoder, v map[string][]int) { EncMap(e, v, encWord, encInts) },
		func(d *Decoder) map[string][]int { return DecMap(d, 8, (*Decoder).String, decInts) },
		nil, map[string][]int{}, map[string][]int{"a": nil, "b": {}, "c": {1, 2}})
	one := 1
	checkRoundTrip(t,
		func(e *Encoder, v *int) { EncPtr(e, v, (*Encoder).Int) },
		func(d *Decoder) *int { return DecPtr(d, (*Decoder).Int) },
		nil, &one)
	checkRoundTrip(t,
		func(e *Encoder, v [2]string) { EncArray(e, v[:], encWord) },
		func(d *Decoder) (v [2]string) { DecArray(d, v[:], (*Decoder).String); return v },
		[2]string{}, [2]string{"a", "b"})
	checkRoundTrip(t,
		func(e *Encoder, v []struct{}) { EncSlice(e, v, func(*Encoder, struct{}) {}) },
		func(d *Decoder) []struct{} {
			return DecSlice(d, 0, func(*Decoder) (v struct{}) { return v })
		},
		nil, make([]struct{}, 1000))
}

func TestOwnEncodings(t *testing.T) {
	u, err := url.Parse("https://user@example.com/a%20b?q=1#f")
	if err != nil {
		t.Fatal(err)
	}
	got := roundTrip(t, *u, func(e *Encoder, v url.URL) { EncBinary(e, &v) }, DecBinary[url.URL])
	if got.String() != u.String() {
		t.Errorf("%v came back as %v", u, &got)
	}
	n := *new(big.Int).Lsh(big.NewInt(3), 200)
	back := roundTrip(t, n, func(e *Encoder, v big.Int) { EncText(e, &v) }, DecText[big.Int])
	if back.Cmp(&n) != 0 {
		t.Errorf("%v came back as %v", &n, &back)
	}
}

// message stands for a generated protobuf message.
type message struct{ text string }

func (m *message) marshal() ([]byte, error) {
	if m.text == "bad" {
		return nil, errors.New("no such text")
	}
	return []byte(m.text), nil
}

func encMessage(e *Encoder, m *message) { EncMessage(e, m == nil, m.marshal) }

func decMessage(d *Decoder) *message {
	return DecMessage(d, func(data []byte, m *message) error {
		m.text = string(data)
		return nil
	})
}

func TestMessages(t *testing.T) {
	checkRoundTrip(t, encMessage, decMessage, nil, &message{}, &message{"hello"})
	var e Encoder
	encMessage(&e, &message{"bad"})
	if e.Err() == nil || e.Err().Error() != "no such text" {
		t.Errorf("error %v", e.Err())
	}
}

type failing struct{}

func (failing) MarshalBinary() ([]byte, error) { return nil, errors.New("first") }
func (failing) MarshalText() ([]byte, error)   { return nil, errors.New("second") }

func TestEncoderKeepsFirstError(t *testing.T) {
	var e Encoder
	e.Fail(nil)
	EncBinary(&e, failing{})
	EncText(&e, failing{})
	if e.Err() == nil || e.Err().Error() != "first" {
		t.Errorf("error %v", e.Err())
	}
}

// node is a recursive type, with the functions that the generator would write.
type node struct {
	name string
	next *node
	kids []node
	errs []error
}

func encNode(e *Encoder, v node) {
	if !e.Enter() {
		return
	}
	defer e.Leave()
	e.String(v.name)
	EncPtr(e, v.next, encNode)
	EncSlice(e, v.kids, encNode)
	EncSlice(e, v.errs, (*Encoder).Error)
}

func decNode(d *Decoder) (v node) {
	if !d.Enter() {
		return
	}
	defer d.Leave()
	v.name = d.String()
	v.next = DecPtr(d, decNode)
	v.kids = DecSlice(d, 13, decNode)
	v.errs = DecSlice(d, 1, (*Decoder).Error)
	return
}

func TestRecursive(t *testing.T) {
	checkRoundTrip(t, encNode, decNode,
		node{name: "a"},
		node{name: "a", next: &node{name: "b"}, kids: []node{{name: "c"}, {kids: []node{{}}}}})

	// The longest list that can be carried: each element enters twice, as a pointer and as a value.
	var list node
	for range maxDepth/2 - 1 {
		rest := list
		list = node{next: &rest}
	}
	checkRoundTrip(t, encNode, decNode, list)

	cyclic := &node{}
	cyclic.next = cyclic
	slices := node{kids: make([]node, 1)}
	slices.kids[0] = slices
	for _, v := range []node{*cyclic, slices} {
		var e Encoder
		encNode(&e, v)
		if e.Err() != errDepth {
			t.Errorf("a cyclic value encodes with the error %v", e.Err())
		}
	}
}
