package codegen

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"testing"
)

// TestFlat: numbers that are copied as a whole mean what they mean one by one.
func TestFlat(t *testing.T) {
	testFlat(t, (*Encoder).Uint8, (*Decoder).Uint8, 0, 1, math.MaxUint8)
	testFlat(t, (*Encoder).Uint16, (*Decoder).Uint16, 0, 1, math.MaxUint16)
	testFlat(t, (*Encoder).Uint32, (*Decoder).Uint32, 0, 1, math.MaxUint32)
	testFlat(t, (*Encoder).Uint64, (*Decoder).Uint64, 0, 1, math.MaxUint64)
	testFlat(t, (*Encoder).Uint, (*Decoder).Uint, 0, 1, math.MaxUint)
	testFlat(t, (*Encoder).Int8, (*Decoder).Int8, -1, 0, math.MinInt8)
	testFlat(t, (*Encoder).Int16, (*Decoder).Int16, -1, 0, math.MinInt16)
	testFlat(t, (*Encoder).Int32, (*Decoder).Int32, -1, 0, math.MinInt32)
	testFlat(t, (*Encoder).Int64, (*Decoder).Int64, -1, 0, math.MinInt64)
	testFlat(t, (*Encoder).Int, (*Decoder).Int, -1, 0, math.MinInt)
	testFlat(t, (*Encoder).Float32, (*Decoder).Float32, -1.5, 0, float32(math.Inf(1)))
	testFlat(t, (*Encoder).Float64, (*Decoder).Float64, -1.5, 0, math.Inf(1))
	testFlat(t, (*Encoder).Bool, (*Decoder).Bool, true, false)
	testFlat(t, (*Encoder).String, (*Decoder).String, "", "text")
}

func testFlat[T comparable](t *testing.T, enc func(*Encoder, T), dec func(*Decoder) T, values ...T) {
	t.Run(fmt.Sprintf("%T", values[0]), func(t *testing.T) {
		for n := range len(values) + 1 {
			var whole, single Encoder
			EncSlice(&whole, values[:n], enc)
			EncArray(&whole, values[:n], enc)
			single.Count(n, false)
			for range 2 {
				for _, v := range values[:n] {
					enc(&single, v)
				}
			}
			if !bytes.Equal(whole.Data(), single.Data()) {
				t.Fatalf("%v is %x, and one by one %x", values[:n], whole.Data(), single.Data())
			}

			d := NewDecoder(bytes.Clone(single.Data()), nil)
			array := make([]T, n)
			slice := DecSlice(&d, 1, dec)
			DecArray(&d, array, dec)
			if err := d.Done(); err != nil || !slices.Equal(slice, values[:n]) || !slices.Equal(array, values[:n]) {
				t.Fatalf("%v decodes to %v and %v, %v", values[:n], slice, array, err)
			}

			for cut := range len(single.Data()) {
				d := NewDecoder(bytes.Clone(single.Data()[:cut]), nil)
				DecSlice(&d, 1, dec)
				DecArray(&d, array, dec)
				if d.Done() == nil {
					t.Fatalf("the first %d bytes of %x decode", cut, single.Data())
				}
			}
		}
	})
}
