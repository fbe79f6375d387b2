package name

import (
	"unicode"
	"unicode/utf8"
)

// Listener returns the name of the listener in a component's field that has no tag: that of the field,
// with a small first letter.
func Listener(field string) string {
	r, size := utf8.DecodeRuneInString(field)
	return string(unicode.ToLower(r)) + field[size:]
}
