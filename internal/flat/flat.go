// Package flat knows numbers whose memory is what they are in a message.
package flat

import (
	"encoding/binary"
	"unsafe"
)

// littleEndian reports whether numbers lie in this machine's memory as they do in messages.
var littleEndian = binary.NativeEndian.Uint16([]byte{1, 0}) == 1

// Memory returns the memory of numbers, if it is what they are in a message: little-endian, and int and uint
// of eight bytes. Then they are copied as a whole. Who changes the memory changes the numbers.
func Memory[T any](s []T) (memory []byte, ok bool) {
	size := int(unsafe.Sizeof(*new(T)))
	switch any((*T)(nil)).(type) {
	case *uint8, *uint16, *uint32, *uint64, *int8, *int16, *int32, *int64, *float32, *float64:
	case *int, *uint:
		if size != 8 {
			return nil, false
		}
	default:
		return nil, false
	}

	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(s))), size*len(s)), littleEndian
}
