package codegen

import (
	"encoding"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/divisi-go/divisi/internal/flat"
)

// maxDepth bounds how deep values of recursive types nest, so that a cyclic value ends in an
// error and a hostile message does not exhaust the stack. A linked list nests once for each of its
// elements.
const maxDepth = 10_000

// nilCount is the count that stands for a nil slice or map; an empty one has the count 0.
const nilCount = math.MaxUint32

var errDepth = fmt.Errorf("the value nests more than %d deep, which is the limit for values of "+
	"recursive types (is it cyclic? a slice holds any number of elements)", maxDepth)

// Encoder appends values to a buffer. The zero value is ready to use. Its first error sticks.
type Encoder struct {
	buf    []byte
	errors *Errors
	depth  int // of values in each other
	nested int // of errors in each other
	err    error
	kept   *[]error // where errors go that need not be encoded, see CopyCoded
}

// Data returns what was encoded so far; the buffer stays the encoder's.
func (e *Encoder) Data() []byte { return e.buf }

// Err returns the first error.
func (e *Encoder) Err() error { return e.err }

// Fail makes err the encoder's error unless it is nil or there is one already.
func (e *Encoder) Fail(err error) {
	if e.err == nil {
		e.err = err
	}
}

// Enter is called at the start of a value of a recursive type; it reports whether the value may
// be encoded, and if so, Leave must follow.
func (e *Encoder) Enter() bool {
	if e.depth == maxDepth {
		e.Fail(errDepth)
	}
	if e.err != nil {
		return false
	}
	e.depth++
	return true
}

// Leave ends what Enter began.
func (e *Encoder) Leave() { e.depth-- }

// Bool appends one byte, 0 or 1.
func (e *Encoder) Bool(v bool) {
	var b byte
	if v {
		b = 1
	}
	e.buf = append(e.buf, b)
}

// Int appends eight bytes.
func (e *Encoder) Int(v int) { e.Uint64(uint64(v)) }

// Int8 appends one byte.
func (e *Encoder) Int8(v int8) { e.buf = append(e.buf, byte(v)) }

// Int16 appends two bytes.
func (e *Encoder) Int16(v int16) { e.Uint16(uint16(v)) }

// Int32 appends four bytes.
func (e *Encoder) Int32(v int32) { e.Uint32(uint32(v)) }

// Int64 appends eight bytes.
func (e *Encoder) Int64(v int64) { e.Uint64(uint64(v)) }

// Uint appends eight bytes.
func (e *Encoder) Uint(v uint) { e.Uint64(uint64(v)) }

// Uint8 appends one byte.
func (e *Encoder) Uint8(v uint8) { e.buf = append(e.buf, v) }

// Uint16 appends two bytes.
func (e *Encoder) Uint16(v uint16) { e.buf = binary.LittleEndian.AppendUint16(e.buf, v) }

// Uint32 appends four bytes.
func (e *Encoder) Uint32(v uint32) { e.buf = binary.LittleEndian.AppendUint32(e.buf, v) }

// Uint64 appends eight bytes.
func (e *Encoder) Uint64(v uint64) { e.buf = binary.LittleEndian.AppendUint64(e.buf, v) }

// Float32 appends four bytes; the bits of a NaN are kept.
func (e *Encoder) Float32(v float32) { e.Uint32(math.Float32bits(v)) }

// Float64 appends eight bytes; the bits of a NaN are kept.
func (e *Encoder) Float64(v float64) { e.Uint64(math.Float64bits(v)) }

// Complex64 appends the real and the imaginary part.
func (e *Encoder) Complex64(v complex64) {
	e.Float32(real(v))
	e.Float32(imag(v))
}

// Complex128 appends the real and the imaginary part.
func (e *Encoder) Complex128(v complex128) {
	e.Float64(real(v))
	e.Float64(imag(v))
}

// String appends the length and the bytes.
func (e *Encoder) String(v string) {
	e.count(len(v))
	e.buf = append(e.buf, v...)
}

// Bytes appends the length and the bytes; nil stays nil.
func (e *Encoder) Bytes(v []byte) {
	if v == nil {
		e.Uint32(nilCount)
		return
	}
	e.count(len(v))
	e.buf = append(e.buf, v...)
}

// utcZone stands for time.UTC, which is not the same location as an offset of zero.
const utcZone = math.MinInt32

// Time appends seconds, nanoseconds and the zone's offset in seconds. The monotonic reading and
// the name of the zone are not kept.
func (e *Encoder) Time(v time.Time) {
	zone := int32(utcZone)
	if v.Location() != time.UTC {
		_, offset := v.Zone()
		zone = int32(offset)
	}

	e.Int64(v.Unix())
	e.Uint32(uint32(v.Nanosecond()))
	e.Int32(zone)
}

// Count appends the number of elements of a slice or map, or the mark of a nil one.
func (e *Encoder) Count(n int, isNil bool) {
	if isNil {
		e.Uint32(nilCount)
		return
	}
	e.count(n)
}

func (e *Encoder) count(n int) {
	if uint64(n) >= nilCount { // an int may have 32 bits, which cannot be as much
		e.Fail(errors.New("more than 4294967294 elements in one value"))
		n = 0
	}
	e.Uint32(uint32(n))
}

// EncSlice appends the elements of a slice.
func EncSlice[S ~[]T, T any](e *Encoder, s S, enc func(*Encoder, T)) {
	e.Count(len(s), s == nil)
	EncArray(e, s, enc)
}

// EncArray appends the elements of an array, given as a slice of it.
func EncArray[T any](e *Encoder, s []T, enc func(*Encoder, T)) {
	if memory, ok := flat.Memory(s); ok {
		e.buf = append(e.buf, memory...)
		return
	}
	for _, v := range s {
		enc(e, v)
	}
}

// EncMap appends the pairs of a map, in no particular order.
func EncMap[M ~map[K]V, K comparable, V any](
	e *Encoder, m M, key func(*Encoder, K), value func(*Encoder, V)) {
	e.Count(len(m), m == nil)
	for k, v := range m {
		key(e, k)
		value(e, v)
	}
}

// EncPtr appends whether there is a value, and the value.
func EncPtr[T any](e *Encoder, p *T, enc func(*Encoder, T)) {
	e.Bool(p != nil)
	if p != nil && e.Enter() {
		enc(e, *p)
		e.Leave()
	}
}

// guarded calls a method of a user's type, and makes an error of its panic, such as that of a nil
// pointer. A panic would meet the caller if an argument caused it, and the callee if a result did.
func guarded(method string, call func() error) (err error) {
	defer func() {
		if thrown := recover(); thrown != nil {
			err = fmt.Errorf("the method %s of a value panicked: %v", method, thrown)
		}
	}()
	return call()
}

// EncBinary appends what the value's own MarshalBinary returns.
func EncBinary(e *Encoder, v encoding.BinaryMarshaler) {
	var b []byte
	e.Fail(guarded("MarshalBinary", func() (err error) { b, err = v.MarshalBinary(); return err }))
	if b == nil {
		b = []byte{}
	}
	e.Bytes(b)
}

// EncText appends what the value's own MarshalText returns.
func EncText(e *Encoder, v encoding.TextMarshaler) {
	var b []byte
	e.Fail(guarded("MarshalText", func() (err error) { b, err = v.MarshalText(); return err }))
	e.String(string(b))
}

// EncMessage appends whether there is a protobuf message, and what marshal makes of it: this
// package does not know the protobuf runtime, its users' generated code does.
func EncMessage(e *Encoder, isNil bool, marshal func() ([]byte, error)) {
	e.Bool(!isNil)
	if isNil {
		return
	}
	var b []byte
	e.Fail(guarded("Marshal", func() (err error) { b, err = marshal(); return err }))
	e.String(string(b))
}
