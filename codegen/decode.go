package codegen

import (
	"encoding"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"
	"unsafe"

	"github.com/divisi-go/divisi/internal/flat"
)

var (
	errShort    = errors.New("message ends in the middle of a value")
	errTrailing = errors.New("message goes on after its last value")
	errBool     = errors.New("a boolean is neither 0 nor 1")
	errInt      = errors.New("an int does not fit into the 32 bits that it has on this machine")
)

// maxEmpty bounds slices of elements that take no bytes, whose count nothing else bounds.
const maxEmpty = 1 << 20

// Decoder reads values from a message that may be hostile. It never panics, and never allocates
// more than a small multiple of the bytes that are really there: its first error sticks, and
// all later reads return zero values.
type Decoder struct {
	buf     []byte
	whole   int    // length of the message
	block   string // of a long message: a copy of what began where blockAt bytes were left
	blockAt int
	errors  *Errors
	depth   int // of values in each other
	nested  int // of errors in each other
	err     error
	kept    *[]error // where errors come from that were not encoded, see CopyCoded
}

// NewDecoder returns a decoder of data, which belongs to the decoded values from now on: strings and slices
// of bytes may be parts of it, and nobody else may write to it.
func NewDecoder(data []byte, errors *Errors) Decoder {
	return Decoder{buf: data, whole: len(data), errors: errors}
}

// Err returns the first error.
func (d *Decoder) Err() error { return d.err }

// Done returns the first error, and that of bytes that are left over.
func (d *Decoder) Done() error {
	if len(d.buf) > 0 {
		d.Fail(errTrailing)
	}
	return d.err
}

// Fail makes err the decoder's error unless it is nil or there is one already.
func (d *Decoder) Fail(err error) {
	if d.err == nil && err != nil {
		d.err = err
		d.buf = nil
	}
}

// Enter is called at the start of a value of a recursive type; it reports whether the value may
// be decoded, and if so, Leave must follow.
func (d *Decoder) Enter() bool {
	if d.depth == maxDepth {
		d.Fail(errDepth)
	}
	if d.err != nil {
		return false
	}
	d.depth++
	return true
}

// Leave ends what Enter began.
func (d *Decoder) Leave() { d.depth-- }

// take returns the next n bytes, or nil when they are not there.
func (d *Decoder) take(n int) []byte {
	if n > len(d.buf) {
		d.short()
		return nil
	}
	b := d.buf[:n:n]
	d.buf = d.buf[n:]
	return b
}

// short is kept out of line, so that its callers, which read most of what there is, are inlined.
//
//go:noinline
func (d *Decoder) short() { d.Fail(errShort) }

// Bool reads one byte.
func (d *Decoder) Bool() bool {
	b := d.Uint8()
	if b > 1 {
		d.Fail(errBool)
	}
	return b == 1
}

// Int reads eight bytes.
func (d *Decoder) Int() int {
	v := d.Int64()
	if int64(int(v)) != v {
		d.Fail(errInt)
	}
	return int(v)
}

// Int8 reads one byte.
func (d *Decoder) Int8() int8 { return int8(d.Uint8()) }

// Int16 reads two bytes.
func (d *Decoder) Int16() int16 { return int16(d.Uint16()) }

// Int32 reads four bytes.
func (d *Decoder) Int32() int32 { return int32(d.Uint32()) }

// Int64 reads eight bytes.
func (d *Decoder) Int64() int64 { return int64(d.Uint64()) }

// Uint reads eight bytes.
func (d *Decoder) Uint() uint {
	v := d.Uint64()
	if uint64(uint(v)) != v {
		d.Fail(errInt)
	}
	return uint(v)
}

// Uint8 reads one byte.
func (d *Decoder) Uint8() (v uint8) {
	if len(d.buf) >= 1 {
		v = d.buf[0]
		d.buf = d.buf[1:]
	} else {
		d.short()
	}
	return v
}

// Uint16 reads two bytes.
func (d *Decoder) Uint16() (v uint16) {
	if len(d.buf) >= 2 {
		v = binary.LittleEndian.Uint16(d.buf)
		d.buf = d.buf[2:]
	} else {
		d.short()
	}
	return v
}

// Uint32 reads four bytes.
func (d *Decoder) Uint32() (v uint32) {
	if len(d.buf) >= 4 {
		v = binary.LittleEndian.Uint32(d.buf)
		d.buf = d.buf[4:]
	} else {
		d.short()
	}
	return v
}

// Uint64 reads eight bytes.
func (d *Decoder) Uint64() (v uint64) {
	if len(d.buf) >= 8 {
		v = binary.LittleEndian.Uint64(d.buf)
		d.buf = d.buf[8:]
	} else {
		d.short()
	}
	return v
}

// Float32 reads four bytes.
func (d *Decoder) Float32() float32 { return math.Float32frombits(d.Uint32()) }

// Float64 reads eight bytes.
func (d *Decoder) Float64() float64 { return math.Float64frombits(d.Uint64()) }

// Complex64 reads the real and the imaginary part.
func (d *Decoder) Complex64() complex64 {
	re := d.Float32()
	return complex(re, d.Float32())
}

// Complex128 reads the real and the imaginary part.
func (d *Decoder) Complex128() complex128 {
	re := d.Float64()
	return complex(re, d.Float64())
}

const (
	// shortMessage is the longest message that strings and slices of bytes stay parts of: whoever keeps one
	// of them keeps all of it from being collected.
	shortMessage = 4 << 10
	// textBlock is how much text of a longer message is copied at a time.
	textBlock = 1 << 10
)

// stays reports whether the next n bytes, once decoded, are a part of the message. What is kept besides
// them is little, or less than they are.
func (d *Decoder) stays(n int) bool { return d.whole <= shortMessage || 2*n > d.whole }

// String reads a length and as many bytes.
func (d *Decoder) String() string {
	n, _ := d.Count(1)
	switch {
	case n == 0:
		return ""
	case d.stays(n):
		return unsafe.String(unsafe.SliceData(d.take(n)), n) // to which nobody writes
	case n > textBlock/4:
		return string(d.take(n))
	}

	at := d.blockAt - len(d.buf)
	if d.block == "" || at+n > len(d.block) {
		d.block = string(d.buf[:min(textBlock, len(d.buf))])
		d.blockAt = len(d.buf)
		at = 0
	}
	d.take(n)
	return d.block[at : at+n]
}

// Bytes reads a length and as many bytes. Nobody else writes to them.
func (d *Decoder) Bytes() []byte {
	n, ok := d.Count(1)
	switch {
	case !ok:
		return nil
	case n == 0:
		return []byte{}
	case d.stays(n):
		return d.take(n)
	}
	return append(make([]byte, 0, n), d.take(n)...)
}

// Time reads what Encoder.Time wrote.
func (d *Decoder) Time() time.Time {
	sec, nsec, zone := d.Int64(), d.Uint32(), d.Int32()
	if d.err != nil {
		return time.Time{}
	}

	t := time.Unix(sec, int64(nsec))
	if zone == utcZone {
		return t.UTC()
	}
	if _, here := t.Zone(); here != int(zone) {
		return t.In(time.FixedZone("", int(zone)))
	}
	return t
}

// Count reads the number of elements of a slice or map, each of at least minSize bytes, and
// reports false for nil. A count that cannot be true is an error.
func (d *Decoder) Count(minSize int) (int, bool) {
	n := d.Uint32()
	if n == nilCount || d.err != nil {
		return 0, false
	}
	if minSize > 0 && uint64(n)*uint64(minSize) > uint64(len(d.buf)) || minSize == 0 && n > maxEmpty {
		d.Fail(fmt.Errorf("a count of %d is more than the message holds", n))
		return 0, false
	}
	return int(n), true
}

// DecSlice reads a slice whose elements take at least minSize bytes each.
func DecSlice[T any](d *Decoder, minSize int, dec func(*Decoder) T) []T {
	n, ok := d.Count(minSize)
	if !ok {
		return nil
	}

	s := make([]T, 0, n)
	if memory, ok := flat.Memory(s[:n]); ok {
		copy(memory, d.take(len(memory)))
		return s[:n]
	}
	for range n {
		s = append(s, dec(d))
		if d.err != nil {
			return nil
		}
	}
	return s
}

// DecArray reads the elements of an array into a slice of it.
func DecArray[T any](d *Decoder, s []T, dec func(*Decoder) T) {
	if memory, ok := flat.Memory(s); ok {
		copy(memory, d.take(len(memory)))
		return
	}
	for i := range s {
		s[i] = dec(d)
	}
}

// DecMap reads a map whose pairs take at least minSize bytes each.
func DecMap[K comparable, V any](
	d *Decoder, minSize int, key func(*Decoder) K, value func(*Decoder) V) map[K]V {
	n, ok := d.Count(minSize)
	if !ok {
		return nil
	}
	m := make(map[K]V, min(n, len(d.buf)))
	for range n {
		k := key(d)
		v := value(d)
		if d.err != nil {
			return nil
		}
		m[k] = v
	}
	return m
}

// DecPtr reads what EncPtr wrote.
func DecPtr[T any](d *Decoder, dec func(*Decoder) T) *T {
	if !d.Bool() || !d.Enter() {
		return nil
	}
	defer d.Leave()
	v := dec(d)
	return &v
}

// DecBinary reads a value by its own UnmarshalBinary.
func DecBinary[T any, P interface {
	*T
	encoding.BinaryUnmarshaler
}](d *Decoder) T {
	var v T
	d.binary(P(&v))
	return v
}

// DecBinaryPtr reads whether there is a value, and the value by its own UnmarshalBinary. It makes no
// copy of it.
func DecBinaryPtr[T any, P interface {
	*T
	encoding.BinaryUnmarshaler
}](d *Decoder) *T {
	if !d.Bool() {
		return nil
	}
	v := new(T)
	d.binary(P(v))
	return v
}

func (d *Decoder) binary(v encoding.BinaryUnmarshaler) {
	n, _ := d.Count(1)
	b := d.take(n)
	if d.err == nil {
		d.Fail(guarded("UnmarshalBinary", func() error { return v.UnmarshalBinary(append([]byte{}, b...)) }))
	}
}

// DecText reads a value by its own UnmarshalText.
func DecText[T any, P interface {
	*T
	encoding.TextUnmarshaler
}](d *Decoder) T {
	var v T
	d.text(P(&v))
	return v
}

// DecTextPtr reads whether there is a value, and the value by its own UnmarshalText. It makes no copy
// of it.
func DecTextPtr[T any, P interface {
	*T
	encoding.TextUnmarshaler
}](d *Decoder) *T {
	if !d.Bool() {
		return nil
	}
	v := new(T)
	d.text(P(v))
	return v
}

func (d *Decoder) text(v encoding.TextUnmarshaler) {
	text := d.String()
	if d.err == nil {
		d.Fail(guarded("UnmarshalText", func() error { return v.UnmarshalText([]byte(text)) }))
	}
}

// DecMessage reads what EncMessage wrote.
func DecMessage[T any](d *Decoder, unmarshal func([]byte, *T) error) *T {
	if !d.Bool() {
		return nil
	}
	text := d.String()
	if d.err != nil {
		return nil
	}
	v := new(T)
	d.Fail(guarded("Unmarshal", func() error { return unmarshal([]byte(text), v) }))
	return v
}
