// Package shard tells which calls of a routed component belong together.
package shard

import (
	"crypto/sha256"
	"encoding/binary"
	"math"
	"reflect"
)

// Of hashes a routing key: a string, a number, or a struct of those.
func Of(key any) uint64 {
	sum := sha256.Sum256(appendKey(nil, reflect.ValueOf(key)))
	return binary.BigEndian.Uint64(sum[:8])
}

func appendKey(b []byte, v reflect.Value) []byte {
	switch {
	case v.Kind() == reflect.String:
		b = binary.LittleEndian.AppendUint32(b, uint32(v.Len()))
		return append(b, v.String()...)
	case v.CanInt():
		return binary.LittleEndian.AppendUint64(b, uint64(v.Int()))
	case v.CanUint():
		return binary.LittleEndian.AppendUint64(b, v.Uint())
	case v.CanFloat():
		return binary.LittleEndian.AppendUint64(b, math.Float64bits(v.Float()))
	case v.Kind() == reflect.Struct:
		for _, field := range v.Fields() {
			b = appendKey(b, field)
		}
	}
	return b
}
