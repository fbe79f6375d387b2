package codegen

import (
	"bytes"
	"errors"
	"math"
	"math/big"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"time"
)

// everything is a type made of all that a decoder reads.
type everything struct {
	flag    bool
	small   int8
	wide    uint16
	float   float32
	pair    complex128
	when    time.Time
	text    string
	bytes   []byte
	ints    []int
	weights []float64
	hash    [4]uint8
	table   map[string][]int
	pointer *int
	array   [2]string
	addr    netip.Addr
	number  big.Int
	place   *netip.Addr
	total   *big.Int
	message *message
	node    node
	err     error
}

func encEverything(e *Encoder, v everything) {
	e.Bool(v.flag)
	e.Int8(v.small)
	e.Uint16(v.wide)
	e.Float32(v.float)
	e.Complex128(v.pair)
	e.Time(v.when)
	e.String(v.text)
	e.Bytes(v.bytes)
	encInts(e, v.ints)
	EncSlice(e, v.weights, (*Encoder).Float64)
	EncArray(e, v.hash[:], (*Encoder).Uint8)
	EncMap(e, v.table, encWord, encInts)
	EncPtr(e, v.pointer, (*Encoder).Int)
	EncArray(e, v.array[:], encWord)
	EncBinary(e, v.addr)
	EncText(e, &v.number)
	e.Bool(v.place != nil)
	if v.place != nil {
		EncBinary(e, v.place)
	}
	e.Bool(v.total != nil)
	if v.total != nil {
		EncText(e, v.total)
	}
	encMessage(e, v.message)
	encNode(e, v.node)
	e.Error(v.err)
}

func decEverything(d *Decoder) (v everything) {
	v.flag = d.Bool()
	v.small = d.Int8()
	v.wide = d.Uint16()
	v.float = d.Float32()
	v.pair = d.Complex128()
	v.when = d.Time()
	v.text = d.String()
	v.bytes = d.Bytes()
	v.ints = decInts(d)
	v.weights = DecSlice(d, 8, (*Decoder).Float64)
	DecArray(d, v.hash[:], (*Decoder).Uint8)
	v.table = DecMap(d, 8, (*Decoder).String, decInts)
	v.pointer = DecPtr(d, (*Decoder).Int)
	DecArray(d, v.array[:], (*Decoder).String)
	v.addr = DecBinary[netip.Addr](d)
	v.number = DecText[big.Int](d)
	v.place = DecBinaryPtr[netip.Addr](d)
	v.total = DecTextPtr[big.Int](d)
	v.message = decMessage(d)
	v.node = decNode(d)
	v.err = d.Error()
	return
}

func sampleEverything() everything {
	n := 5
	return everything{
		flag: true, small: -3, wide: 700, float: 1.5, pair: complex(1, -1),
		when: time.Date(2024, 2, 29, 1, 2, 3, 4, time.UTC), text: "text", bytes: []byte{1, 2},
		ints: []int{1, 2}, weights: []float64{0.5, math.Inf(-1)}, hash: [4]uint8{1, 2, 3, 4}, table: map[string][]int{"k": {1}}, pointer: &n,
		array: [2]string{"x", "y"}, addr: netip.MustParseAddr("10.0.0.1"),
		number: *big.NewInt(12345), place: new(netip.Addr), total: big.NewInt(-1), message: &message{"m"},
		node: node{name: "n", next: &node{}, kids: []node{{}}, errs: []error{errKnown}},
		err:  errors.Join(errKnown, errors.New("other")),
	}
}

func encoded(v everything, table *Errors) []byte {
	e := Encoder{errors: table}
	encEverything(&e, v)
	return e.buf
}

func TestDecoderErrors(t *testing.T) {
	for _, test := range []struct {
		name string
		data []byte
		read func(*Decoder)
		want string
	}{
		{"short", []byte{1, 2, 3}, func(d *Decoder) { d.Uint32() }, errShort.Error()},
		{"trailing", []byte{1, 2}, func(d *Decoder) { d.Uint8() }, errTrailing.Error()},
		{"bool", []byte{2}, func(d *Decoder) { d.Bool() }, errBool.Error()},
		{"string", []byte{9, 0, 0, 0, 'a'}, func(d *Decoder) { _ = d.String() }, "a count of 9 is more"},
		{"slice", []byte{2, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8}, func(d *Decoder) { decInts(d) },
			"a count of 2 is more"},
		{"empty elements", []byte{0, 0, 0, 0x70}, func(d *Decoder) {
			DecSlice(d, 0, func(*Decoder) (v struct{}) { return v })
		}, "a count of 1879048192 is more"},
		{"unmarshal", []byte{1, 0, 0, 0, 7}, func(d *Decoder) { DecBinary[netip.Addr](d) },
			"unexpected slice size"},
		{"depth", bytes.Repeat([]byte{0, 0, 0, 0, 1}, maxDepth), func(d *Decoder) { decNode(d) },
			errDepth.Error()},
		{"error kind", []byte{1, 0xff, 0xff, 0, 0, 0, 0}, func(d *Decoder) { _ = d.Error() },
			"an error of unknown kind"},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := NewDecoder(test.data, nil)
			test.read(&d)
			if err := d.Done(); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want %s", err, test.want)
			}
			if d.Int() != 0 || d.String() != "" || d.Bytes() != nil || d.Error() != nil {
				t.Error("a decoder goes on after its first error")
			}
		})
	}
}

// TestIntsOfThisMachine reads ints of machines whose ints have more bits.
func TestIntsOfThisMachine(t *testing.T) {
	for _, v := range []int64{math.MinInt64, math.MinInt32 - 1, math.MinInt32, 0, math.MaxInt32, 1 << 40} {
		var e Encoder
		e.Int64(v)
		e.Uint64(uint64(v))

		d := NewDecoder(e.Data(), nil)
		got, unsigned := d.Int(), d.Uint()
		fits := int64(int(v)) == v && uint64(uint(v)) == uint64(v)
		if err := d.Done(); (err == nil) != fits {
			t.Errorf("%d: error %v", v, err)
		}
		if fits && (int64(got) != v || uint64(unsigned) != uint64(v)) {
			t.Errorf("%d came back as %d and %d", v, got, unsigned)
		}
	}
}

func TestDecoderSurvivesEveryCut(t *testing.T) {
	data := encoded(sampleEverything(), nil)
	for n := range data {
		d := NewDecoder(data[:n], nil)
		decEverything(&d)
		if d.Done() == nil {
			t.Fatalf("the first %d of %d bytes decode", n, len(data))
		}
	}
}

// TestParts: strings and slices of bytes are parts of a short message, and of a longer one if they are most
// of it. Nobody who appends to one writes to what follows.
func TestParts(t *testing.T) {
	for _, test := range []struct {
		sizes []int
		parts int // how many share memory with the message
	}{
		{[]int{shortMessage - 4}, 1},
		{[]int{0, 10, 200, 2000}, 3},
		{[]int{shortMessage, 10}, 1},
		{[]int{shortMessage, 2 * shortMessage}, 1},
		{[]int{shortMessage, shortMessage, shortMessage}, 0},
		{[]int{textBlock / 4, textBlock/4 + 1, 20, 0, textBlock / 4, textBlock / 4, textBlock / 4, shortMessage / 2, 7, shortMessage / 2}, 0},
	} {
		var e Encoder
		for i, size := range test.sizes {
			e.Bytes(bytes.Repeat([]byte{byte(i)}, size))
		}
		for name, next := range map[string]func(*Decoder) ([]byte, func() string){
			"bytes": func(d *Decoder) ([]byte, func() string) {
				b := d.Bytes()
				_ = append(b, 0xff)
				return b, func() string { return string(b) }
			},
			"string": func(d *Decoder) ([]byte, func() string) {
				s := d.String()
				return []byte(s), func() string { return strings.Clone(s) }
			},
		} {
			message := bytes.Clone(e.Data())
			d := NewDecoder(message, nil)
			parts := 0
			for i, size := range test.sizes {
				b, now := next(&d)
				if !bytes.Equal(b, bytes.Repeat([]byte{byte(i)}, size)) || b == nil {
					t.Fatalf("%s of %v: number %d has %d bytes, or others", name, test.sizes, i, len(b))
				}
				if size == 0 {
					continue
				}

				first := &message[len(message)-len(d.buf)-size]
				*first++
				if now()[0] != byte(i) {
					parts++
				}
				*first--
			}
			if parts != test.parts {
				t.Errorf("%s of %v: %d are parts of the message, not %d", name, test.sizes, parts, test.parts)
			}
			if err := d.Done(); err != nil {
				t.Errorf("%s of %v: %v", name, test.sizes, err)
			}
		}
	}
}

func TestDecoderAllocatesLittle(t *testing.T) {
	data := []byte{0xfe, 0xff, 0xff, 0x7f, 1, 2, 3, 4}
	read := func() {
		for _, f := range []func(*Decoder){
			func(d *Decoder) { _ = d.String() },
			func(d *Decoder) { d.Bytes() },
			func(d *Decoder) { decInts(d) },
			func(d *Decoder) { DecMap(d, 8, (*Decoder).String, decInts) },
		} {
			d := NewDecoder(data, nil)
			f(&d)
		}
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	read()
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 1<<20 {
		t.Errorf("hostile counts made the decoder allocate %d bytes", n)
	}
}

func FuzzDecoder(f *testing.F) {
	f.Add(encoded(sampleEverything(), fuzzErrors))
	f.Add(encoded(everything{}, nil))
	f.Add([]byte{})
	f.Add(bytes.Repeat([]byte{0xff}, 100))
	f.Add(bytes.Repeat([]byte{0, 0, 0, 0, 1}, 300))
	f.Fuzz(func(t *testing.T, data []byte) {
		d := NewDecoder(data, fuzzErrors)
		v := decEverything(&d)
		if d.Done() != nil {
			return
		}
		// What decodes also encodes, to something that means the same.
		first := encoded(v, fuzzErrors)
		again := NewDecoder(first, fuzzErrors)
		w := decEverything(&again)
		if err := again.Done(); err != nil {
			t.Fatalf("%+v does not decode again: %v", v, err)
		}
		if math.IsNaN(float64(v.float)) || len(v.table) > 1 {
			return // whose bits, or whose order, may differ
		}
		if second := encoded(w, fuzzErrors); !bytes.Equal(first, second) {
			t.Fatalf("%+v encodes as\n%x and as\n%x", v, first, second)
		}
	})
}
