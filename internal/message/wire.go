package message

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"unicode/utf8"
)

// Message is a message of the protocol. Messages are encoded as Protocol Buffers are, version 3,
// with fields in the order of their numbers and map entries in the order of their keys.
type Message interface {
	// visit names every field, in the order of their numbers, to what writes or reads it.
	visit(*visitor)
}

// Marshal returns the bytes of a message.
func Marshal(m Message) []byte {
	v := visitor{}
	m.visit(&v)
	return v.out
}

// Unmarshal adds what data says to m. Fields that m does not have are skipped.
func Unmarshal(data []byte, m Message) error {
	_, err := unmarshal(data, m)
	return err
}

// What a message may take in memory. A list of empty messages takes a hundred times what its bytes
// do; messages that say something take five times as much.
const (
	maxGrowth = 16        // as many times the bytes
	maxMemory = 256 << 20 // and no more than this
	someSpace = 4096      // which even the shortest may take
)

func unmarshal(data []byte, m Message) (memory int, err error) {
	limit := min(len(data)*maxGrowth+someSpace, maxMemory)
	left := limit
	err = decode(data, m, 0, &left)
	return len(data) + limit - left, err
}

// maxNesting is deeper than any message of the protocol goes.
const maxNesting = 20

var (
	errShort  = errors.New("a message ends in the middle of a field")
	errVarint = errors.New("a number is longer than 64 bits")
	errDeep   = errors.New("messages nest too deep")
	errMuch   = errors.New("the message has too many elements for its size")
)

// The wire types of Protocol Buffers.
const (
	typeVarint  = 0
	typeFixed64 = 1
	typeBytes   = 2
	typeFixed32 = 5
)

// visitor writes the fields that it is shown, or, while reading, sets the one that has just been
// read.
type visitor struct {
	out  []byte
	zero bool // write fields that are zero, too: those of map entries and of oneofs

	reading bool
	num     int
	typ     int
	value   uint64 // of a number
	data    []byte // of anything else
	nesting int
	left    *int // memory that the whole message may still take
	err     error
}

// decode reads a message, or one within.
func decode(data []byte, m Message, nesting int, left *int) error {
	if nesting > maxNesting {
		return errDeep
	}

	v := visitor{reading: true, nesting: nesting, left: left}
	for len(data) > 0 {
		tag, n := binary.Uvarint(data)
		if n <= 0 {
			return errVarint
		}
		data = data[n:]
		v.num, v.typ = int(tag>>3), int(tag&7)
		if tag>>3 == 0 || tag>>3 > 1<<29-1 {
			return fmt.Errorf("no field can have the number %d", tag>>3)
		}
		var err error
		if data, err = v.take(data); err != nil {
			return err
		}
		m.visit(&v)
		if v.err != nil {
			return fmt.Errorf("field %d: %w", v.num, v.err)
		}
	}
	return nil
}

// take reads the content of a field.
func (v *visitor) take(data []byte) ([]byte, error) {
	v.value, v.data = 0, nil
	size := 0
	switch v.typ {
	case typeVarint:
		n := 0
		if v.value, n = binary.Uvarint(data); n <= 0 {
			return nil, errVarint
		}
		return data[n:], nil
	case typeFixed64:
		size = 8
	case typeFixed32:
		size = 4
	case typeBytes:
		length, n := binary.Uvarint(data)
		if n <= 0 {
			return nil, errVarint
		}
		data = data[n:]
		if length > uint64(len(data)) {
			return nil, errShort
		}
		size = int(length)
	default:
		return nil, fmt.Errorf("unknown wire type %d", v.typ)
	}
	if size > len(data) {
		return nil, errShort
	}
	v.data = data[:size]
	if v.typ == typeFixed64 {
		v.value = binary.LittleEndian.Uint64(v.data)
	}
	return data[size:], nil
}

// room takes memory for an element, and reports whether there was enough.
func (v *visitor) room(size int) bool {
	if *v.left -= size; *v.left < 0 {
		v.err = errMuch
	}
	return v.err == nil
}

// Sizes of elements in memory.
const (
	sizeOfNumber  = 8
	sizeOfPointer = 8
	sizeOfString  = 16
	sizeOfBytes   = 24
	sizeOfPair    = 64 // of a map, without what is in it
)

// here reports whether the field that was read is this one, and of its type. It is not inlined
// into the many functions that call it, as bytesOf is not: that would be a good part of what
// applications link.
//
//go:noinline
func (v *visitor) here(num, typ int) bool {
	if v.num != num {
		return false
	}
	if v.typ != typ {
		v.err = fmt.Errorf("wire type %d where %d belongs", v.typ, typ)
		return false
	}
	return true
}

func (v *visitor) tag(num, typ int) {
	v.out = binary.AppendUvarint(v.out, uint64(num)<<3|uint64(typ))
}

//go:noinline
func (v *visitor) bytesOf(num int, data []byte) {
	v.tag(num, typeBytes)
	v.out = binary.AppendUvarint(v.out, uint64(len(data)))
	v.out = append(v.out, data...)
}

// number is an integer, an enumeration or a boolean as a varint.
func number[T ~int32 | ~int64 | ~uint64](v *visitor, num int, field *T) {
	if n := v.varint(num, uint64(*field)); v.reading {
		*field = T(n) // a message that is written may be read by others meanwhile
	}
}

// varint writes a number, or returns the one that was read in its place.
//
//go:noinline
func (v *visitor) varint(num int, value uint64) uint64 {
	switch {
	case v.reading:
		if v.here(num, typeVarint) {
			return v.value
		}
	case value != 0 || v.zero:
		v.tag(num, typeVarint)
		v.out = binary.AppendUvarint(v.out, value)
	}
	return value
}

func (v *visitor) bool(num int, field *bool) {
	var n uint64
	if *field {
		n = 1
	}
	if number(v, num, &n); v.reading {
		*field = n != 0
	}
}

func (v *visitor) fixed(num int, field *int64) {
	switch {
	case v.reading:
		if v.here(num, typeFixed64) {
			*field = int64(v.value)
		}
	case *field != 0:
		v.tag(num, typeFixed64)
		v.out = binary.LittleEndian.AppendUint64(v.out, uint64(*field))
	}
}

func (v *visitor) double(num int, field *float64) {
	bits := int64(math.Float64bits(*field))
	if v.fixed(num, &bits); v.reading {
		*field = math.Float64frombits(uint64(bits))
	}
}

func (v *visitor) string(num int, field *string) {
	switch {
	case v.reading:
		if v.here(num, typeBytes) {
			*field = string(v.data)
		}
	case *field != "" || v.zero:
		v.text(num, *field)
	}
}

func (v *visitor) bytes(num int, field *[]byte) {
	switch {
	case v.reading:
		if v.here(num, typeBytes) {
			*field = append([]byte{}, v.data...)
		}
	case len(*field) > 0:
		v.bytesOf(num, *field)
	}
}

func (v *visitor) strings(num int, field *[]string) {
	if v.reading {
		if v.here(num, typeBytes) && v.room(sizeOfString) {
			*field = append(*field, string(v.data))
		}
		return
	}
	for _, s := range *field {
		v.text(num, s)
	}
}

// text writes a string as UTF-8: peers with the Protocol Buffers runtime end the conversation at
// anything else, and applications log anything.
func (v *visitor) text(num int, s string) {
	if !utf8.ValidString(s) {
		s = string([]rune(s)) // U+FFFD for what is not UTF-8
	}
	v.bytesOf(num, []byte(s))
}

func (v *visitor) chain(num int, field *[][]byte) {
	if v.reading {
		if v.here(num, typeBytes) && v.room(sizeOfBytes) {
			*field = append(*field, append([]byte{}, v.data...))
		}
		return
	}
	for _, b := range *field {
		v.bytesOf(num, b)
	}
}

// numbers are packed; ones that are not are read as well.
func (v *visitor) numbers(num int, field *[]uint64) {
	if !v.reading {
		var packed []byte
		for _, n := range *field {
			packed = binary.AppendUvarint(packed, n)
		}
		if len(packed) > 0 {
			v.bytesOf(num, packed)
		}
		return
	}
	if v.num != num {
		return
	}
	if v.typ == typeVarint {
		if v.room(sizeOfNumber) {
			*field = append(*field, v.value)
		}
		return
	}
	for data := v.data; v.here(num, typeBytes) && len(data) > 0 && v.room(sizeOfNumber); {
		n, size := binary.Uvarint(data)
		if size <= 0 {
			v.err = errVarint
			return
		}
		*field, data = append(*field, n), data[size:]
	}
}

func (v *visitor) doubles(num int, field *[]float64) {
	if !v.reading {
		var packed []byte
		for _, f := range *field {
			packed = binary.LittleEndian.AppendUint64(packed, math.Float64bits(f))
		}
		if len(packed) > 0 {
			v.bytesOf(num, packed)
		}
		return
	}
	if v.num != num {
		return
	}
	if v.typ == typeFixed64 {
		*field = append(*field, math.Float64frombits(v.value))
		return
	}
	if v.here(num, typeBytes) && len(v.data)%8 != 0 {
		v.err = errShort
	}
	for data := v.data; v.err == nil && len(data) > 0; data = data[8:] {
		*field = append(*field, math.Float64frombits(binary.LittleEndian.Uint64(data)))
	}
}

// message is a nested message; a nil one is absent.
func message[T any, P interface {
	*T
	Message
}](v *visitor, num int, field *P) {
	v.message(num, field)
}

// message takes a pointer to a pointer to a message. With reflection there is one function in every
// application, and not one for every message.
func (v *visitor) message(num int, field any) {
	m := reflect.ValueOf(field).Elem()
	switch {
	case !v.reading:
		if !m.IsNil() {
			v.bytesOf(num, Marshal(m.Interface().(Message)))
		}
	case v.here(num, typeBytes):
		if m.IsNil() {
			if !v.room(int(m.Type().Elem().Size())) {
				return
			}
			m.Set(reflect.New(m.Type().Elem()))
		}
		v.err = decode(v.data, m.Interface().(Message), v.nesting+1, v.left)
	}
}

// messages are nested messages, each a field of its own.
func messages[T any, P interface {
	*T
	Message
}](v *visitor, num int, field *[]P) {
	v.messages(num, field)
}

func (v *visitor) messages(num int, field any) {
	list := reflect.ValueOf(field).Elem()
	if v.reading {
		element := list.Type().Elem().Elem()
		if v.here(num, typeBytes) && v.room(int(element.Size())+sizeOfPointer) {
			m := reflect.New(element)
			v.err = decode(v.data, m.Interface().(Message), v.nesting+1, v.left)
			list.Set(reflect.Append(list, m))
		}
		return
	}
	for i := range list.Len() {
		m := list.Index(i)
		if m.IsNil() {
			m = reflect.New(m.Type().Elem())
		}
		v.bytesOf(num, Marshal(m.Interface().(Message)))
	}
}

// entry is one pair of a map.
type entry struct {
	key   string
	value func(v *visitor)
}

func (e *entry) visit(v *visitor) {
	v.string(1, &e.key)
	e.value(v)
}

// mapOf is a map from strings, each pair a message of its own.
func mapOf[V any](v *visitor, num int, field *map[string]V, value func(*visitor, *V)) {
	if v.reading {
		if !v.here(num, typeBytes) || !v.room(sizeOfPair) {
			return
		}
		var val V
		value(&visitor{reading: true, left: v.left}, &val) // a value that is left out is an empty one
		e := entry{value: func(v *visitor) { value(v, &val) }}
		v.err = decode(v.data, &e, v.nesting+1, v.left)
		if *field == nil {
			*field = map[string]V{}
		}
		(*field)[e.key] = val
		return
	}
	for _, key := range slices.Sorted(maps.Keys(*field)) {
		val := (*field)[key]
		e := entry{key: key, value: func(v *visitor) { value(v, &val) }}
		pair := visitor{zero: true}
		e.visit(&pair)
		v.bytesOf(num, pair.out)
	}
}

// messageMap is a map from strings to messages.
func messageMap[T any, P interface {
	*T
	Message
}](v *visitor, num int, field *map[string]P) {
	mapOf(v, num, field, func(v *visitor, value *P) {
		if *value == nil {
			*value = new(T)
		}
		message(v, 2, value)
	})
}

func (v *visitor) stringMap(num int, field *map[string]string) {
	mapOf(v, num, field, func(v *visitor, value *string) { v.string(2, value) })
}
