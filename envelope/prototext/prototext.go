// Package prototext shows messages of the envelope protocol to people, as Protocol Buffers' text
// format does.
package prototext

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/divisi-go/divisi/internal/message"
)

// Format returns a message as text: a line for each field that is set.
func Format(m message.Message) string {
	var b strings.Builder
	write(&b, reflect.ValueOf(m).Elem(), 0)
	return b.String()
}

func write(b *strings.Builder, v reflect.Value, depth int) {
	for field, value := range v.Fields() {
		name := snake(field.Name)
		switch {
		case value.IsZero():
		case value.Kind() == reflect.Slice && value.Type().Elem().Kind() != reflect.Uint8:
			for i := range value.Len() {
				writeField(b, name, value.Index(i), depth)
			}
		case value.Kind() == reflect.Map:
			keys := map[string]reflect.Value{}
			for _, key := range value.MapKeys() {
				keys[key.String()] = value.MapIndex(key)
			}
			for _, key := range slices.Sorted(maps.Keys(keys)) {
				fmt.Fprintf(b, "%s%s: {\n", indent(depth), name)
				writeField(b, "key", reflect.ValueOf(key), depth+1)
				writeField(b, "value", keys[key], depth+1)
				fmt.Fprintf(b, "%s}\n", indent(depth))
			}
		default:
			writeField(b, name, value, depth)
		}
	}
}

func writeField(b *strings.Builder, name string, v reflect.Value, depth int) {
	fmt.Fprintf(b, "%s%s: ", indent(depth), name)
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() || v.Elem().IsZero() {
			b.WriteString("{}\n")
			return
		}
		b.WriteString("{\n")
		write(b, v.Elem(), depth+1)
		fmt.Fprintf(b, "%s}\n", indent(depth))
	case reflect.String:
		fmt.Fprintf(b, "%s\n", strconv.Quote(v.String()))
	case reflect.Slice:
		fmt.Fprintf(b, "%s\n", strconv.Quote(string(v.Bytes())))
	case reflect.Float64:
		fmt.Fprintf(b, "%s\n", strings.ToLower(strings.TrimPrefix(strconv.FormatFloat(v.Float(), 'g', -1, 64), "+")))
	default: // an enumeration has a String method
		fmt.Fprintf(b, "%v\n", v.Interface())
	}
}

func indent(depth int) string { return strings.Repeat("  ", depth) }

// snake makes dial_addr of DialAddr.
func snake(name string) string {
	var b strings.Builder
	for i, r := range name {
		if unicode.IsUpper(r) {
			if i > 0 {
				b.WriteByte('_')
			}
			r = unicode.ToLower(r)
		}
		b.WriteRune(r)
	}
	return b.String()
}
