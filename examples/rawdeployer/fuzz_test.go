package main

import (
	"maps"
	"testing"
)

// FuzzFields: what a message is taken apart into is not more than was in it, and is the same after
// being put together again.
func FuzzFields(f *testing.F) {
	f.Add(hello())
	f.Add(health(42))
	f.Add([]byte{0x09, 1, 2, 3, 4, 5, 6, 7, 8, 0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})
	f.Add([]byte{0x12, 0x80, 0x80, 0x80, 0x80, 0x08, 1, 2})
	f.Add([]byte{0x0d, 1, 2, 3, 4})
	f.Fuzz(func(t *testing.T, data []byte) {
		all, err := fields(data)
		if err != nil {
			return
		}
		var message []byte
		size := 0
		for field, v := range all {
			size += 1 + len(v.text)
			if v.text == "" {
				message = number(message, field, uint64(v.number))
			} else {
				message = text(message, field, v.text)
			}
		}
		again, err := fields(message)
		if err != nil || !maps.Equal(again, all) || size > len(data) {
			t.Errorf("%x is %v, and then %v, %v", data, all, again, err)
		}
	})
}
