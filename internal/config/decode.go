package config

import (
	"encoding"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/divisi-go/divisi/internal/name"
	"github.com/pelletier/go-toml/v2/unstable"
)

// place is where a value is, for messages.
type place struct {
	path    []string
	element bool // it is one of an array there
}

// decode decodes a table strictly into v.
func (d *document) decode(v any, table *node) {
	p := reflect.ValueOf(v)
	if p.Kind() != reflect.Pointer || p.IsNil() {
		d.errs = append(d.errs, &Error{File: d.file, Line: d.line, Col: d.col,
			Err: fmt.Errorf("cannot decode into %T: pass a pointer to a struct", v)})
		return
	}
	d.into(p.Elem(), table, place{})
}

// into decodes a value.
func (d *document) into(v reflect.Value, n *node, p place) {
	switch t := v.Type(); {
	case t.Kind() == reflect.Pointer:
		if v.IsNil() {
			v.Set(reflect.New(t.Elem()))
		}
		d.into(v.Elem(), n, p)
	case t == reflect.TypeFor[time.Duration]():
		d.duration(v, n, p)
	case t == reflect.TypeFor[time.Time]() && n.text != "" && n.kind != unstable.LocalTime:
		v.Set(reflect.ValueOf(n.value))
	case isText(t):
		d.fromText(v, n, p)
	case n.kind == unstable.Table || n.kind == unstable.InlineTable:
		d.fromTable(v, n, p)
	case n.kind == unstable.Array || n.kind == unstable.ArrayTable:
		d.fromArray(v, n, p)
	default:
		d.fromScalar(v, n, p)
	}
}

// wrong notes that a value is of another type than v.
func (d *document) wrong(v reflect.Value, n *node, p place) {
	key := d.show(p.path)
	if p.element {
		key = "an element of " + key
	}
	d.fail(n.at, "%s cannot be %s: write %s", key, kinds[n.kind], wanted(v.Type()))
}

// duration decodes a string such as "1m30s", or nanoseconds.
func (d *document) duration(v reflect.Value, n *node, p place) {
	switch value := n.value.(type) {
	case int64:
		v.SetInt(value)
	case string:
		span, err := time.ParseDuration(value)
		if err != nil {
			d.fail(n.at, "%s cannot be %q: write %s", d.show(p.path), value, wanted(v.Type()))
		}
		v.SetInt(int64(span))
	default:
		d.wrong(v, n, p)
	}
}

func (d *document) fromText(v reflect.Value, n *node, p place) {
	text, ok := n.value.(string)
	if !ok && n.text == "" {
		d.wrong(v, n, p)
		return
	}
	err := v.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(text + n.text))
	if err != nil {
		d.fail(n.at, "%s: %w", d.show(p.path), err)
	}
}

func (d *document) fromTable(v reflect.Value, n *node, p place) {
	switch {
	case isAny(v):
		v.Set(reflect.ValueOf(plain(n)))
	case v.Kind() == reflect.Map:
		if v.IsNil() {
			v.Set(reflect.MakeMap(v.Type()))
		}
		for _, k := range n.keys {
			name, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
			below := place{path: join(p.path, k.name)}
			named := &node{kind: unstable.String, at: k.at, value: k.name}
			if i, err := strconv.ParseInt(k.name, 10, 64); err == nil && (name.CanInt() || name.CanUint()) {
				named.kind, named.value = unstable.Integer, i
			}
			d.into(name, named, below)
			d.into(value, k.node, below)
			v.SetMapIndex(name, value)
		}
	case v.Kind() == reflect.Struct:
		for _, k := range n.keys {
			if f, ok := field(v.Type(), k.name); ok {
				d.into(inside(v, f.Index), k.node, place{path: join(p.path, k.name)})
			} else {
				d.unknown(k, p.path, v.Type())
			}
		}
	default:
		d.wrong(v, n, p)
	}
}

func (d *document) fromArray(v reflect.Value, n *node, p place) {
	p.element = true
	switch {
	case isAny(v):
		v.Set(reflect.ValueOf(plain(n)))
		return
	case v.Kind() == reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), len(n.list), len(n.list)))
	case v.Kind() != reflect.Array:
		p.element = false
		d.wrong(v, n, p)
		return
	case len(n.list) > v.Len():
		d.fail(n.at, "%s has %d elements: write no more than %d", d.show(p.path), len(n.list), v.Len())
		return
	}

	for i, elem := range n.list {
		d.into(v.Index(i), elem, p)
	}
}

func (d *document) fromScalar(v reflect.Value, n *node, p place) {
	value := reflect.ValueOf(n.value)
	i, isInt := n.value.(int64)
	switch {
	case isAny(v):
		v.Set(value)
	case v.CanInt() && isInt && !v.OverflowInt(i):
		v.SetInt(i)
	case v.CanUint() && isInt && i >= 0 && !v.OverflowUint(uint64(i)):
		v.SetUint(uint64(i))
	case (v.CanInt() || v.CanUint()) && isInt:
		least, most := bounds(v.Type())
		d.fail(n.at, "%s cannot be %d: write a whole number from %d to %d", d.show(p.path), i, least, most)
	case v.CanFloat() && isInt:
		v.SetFloat(float64(i))
	case v.Kind() == value.Kind() && n.text == "" || v.CanFloat() && value.CanFloat():
		v.Set(value.Convert(v.Type()))
	default:
		d.wrong(v, n, p)
	}
}

// bounds returns the least and the greatest integer that a file can have, whose integers have 64 bits.
func bounds(t reflect.Type) (least int64, most int64) {
	if t.Kind() >= reflect.Uint {
		return 0, math.MaxInt64 >> max(0, 63-t.Bits())
	}
	return math.MinInt64 >> (64 - t.Bits()), math.MaxInt64 >> (64 - t.Bits())
}

func isAny(v reflect.Value) bool { return v.Kind() == reflect.Interface && v.NumMethod() == 0 }

// plain returns what a field of type any gets.
func plain(n *node) any {
	switch n.kind {
	case unstable.Table, unstable.InlineTable:
		all := map[string]any{}
		for _, k := range n.keys {
			all[k.name] = plain(k.node)
		}
		return all
	case unstable.Array, unstable.ArrayTable:
		all := make([]any, len(n.list))
		for i, elem := range n.list {
			all[i] = plain(elem)
		}
		return all
	}

	return n.value
}

// inside returns a field of a struct, and makes what it is embedded in.
func inside(v reflect.Value, index []int) reflect.Value {
	for i, at := range index {
		if i > 0 && v.Kind() == reflect.Pointer {
			if v.IsNil() {
				v.Set(reflect.New(v.Type().Elem()))
			}
			v = v.Elem()
		}
		v = v.Field(at)
	}
	return v
}

func join(path []string, key string) []string { return append(slices.Clip(path), key) }

// unknown notes that a struct at a path has no field for a key.
func (d *document) unknown(k key, path []string, t reflect.Type) {
	known := fieldNames(t)
	what, way := "key "+show(k.name), name.Suggest(k.name, known)
	switch {
	case len(path) > 0:
		what += " in [" + d.show(path) + "]"
		if d.whole && len(path) == 1 && isCommon(k.name) {
			way = show(k.name) + " belongs into [divisi], which is for all deployers"
		}
	case d.whole:
		what = "table [" + d.show([]string{k.name}) + "]"
		known = slices.DeleteFunc(known, func(head string) bool { return slices.Contains(ignored, head) })
		way = name.Suggest(k.name, known)
		if other := d.elsewhere(k, known); other != "" {
			way = other
		}
	}

	d.fail(k.at, "unknown %s: %s", what, way)
}

// elsewhere is the way out for a table that would be right in another place or with more of its
// name, if any.
func (d *document) elsewhere(k key, heads []string) string {
	if isCommon(k.name) {
		return show(k.name) + " belongs into [divisi]"
	}
	if _, ok := name.Nearest(k.name, heads); ok {
		return ""
	}

	path := k.name
	for n := k.node; n.kind == unstable.Table && n.made != byHeader && len(n.keys) > 0; n = n.keys[0].node {
		path += "." + n.keys[0].name
	}

	full, ok := name.Nearest(path, d.known)
	for _, component := range d.known {
		if hasSuffixFold("."+strings.ReplaceAll(component, "/", "."), "."+path) {
			full, ok = component, true
		}
	}

	if ok {
		return "the section of a component has its full name, [" + show(full) + "]"
	}

	return ""
}

func hasSuffixFold(s, suffix string) bool {
	return len(s) >= len(suffix) && strings.EqualFold(s[len(s)-len(suffix):], suffix)
}

// isCommon reports whether a key is one of [divisi].
func isCommon(key string) bool {
	return slices.Contains(fieldNames(reflect.TypeFor[divisiTable]()), strings.ToLower(key))
}

// show writes a key as the file does.
func (d *document) show(path []string) string {
	path = slices.Clone(path)
	if len(path) > 0 && d.written[path[0]] != "" {
		path[0] = d.written[path[0]]
	}
	return show(path...)
}

func field(t reflect.Type, key string) (found reflect.StructField, ok bool) {
	for _, f := range reflect.VisibleFields(t) {
		if k, named := fieldName(f); named && (k == key || !ok && strings.EqualFold(k, key)) {
			found, ok = f, true
		}
	}
	return found, ok
}

func fieldNames(t reflect.Type) (names []string) {
	for _, f := range reflect.VisibleFields(t) {
		if k, ok := fieldName(f); ok {
			names = append(names, k)
		}
	}
	return names
}

// fieldName returns the key of a field: that in its tag, or its name in lower case, which is how
// keys are written although any case will do.
func fieldName(f reflect.StructField) (string, bool) {
	tag, _, _ := strings.Cut(f.Tag.Get("toml"), ",")
	switch {
	case !f.IsExported() || f.Tag.Get("toml") == "-" || f.Anonymous && tag == "":
		return "", false
	case tag != "":
		return tag, true
	}
	return strings.ToLower(f.Name), true
}

func isText(t reflect.Type) bool {
	return reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}

// kinds are names of what is in a file.
var kinds = map[unstable.Kind]string{
	unstable.String: "a string", unstable.Bool: "true or false",
	unstable.Integer: "a whole number", unstable.Float: "a number with a fraction",
	unstable.Array: "a list", unstable.ArrayTable: "a list of tables",
	unstable.Table: "a table", unstable.InlineTable: "a table",
	unstable.DateTime: "a date and time", unstable.LocalDateTime: "a date and time",
	unstable.LocalDate: "a date", unstable.LocalTime: "a time of day",
}

// wanted says what a value of type t looks like in a file.
func wanted(t reflect.Type) string {
	switch k := t.Kind(); {
	case t == reflect.TypeFor[time.Duration]():
		return `a duration such as "1m30s"`
	case t == reflect.TypeFor[time.Time]():
		return "a date and time"
	case isText(t), k == reflect.String:
		return "a string"
	case k == reflect.Bool:
		return "true or false"
	case reflect.Int <= k && k <= reflect.Int64:
		return "a whole number"
	case reflect.Uint <= k && k <= reflect.Uintptr:
		return "a whole number that is not negative"
	case k == reflect.Float32, k == reflect.Float64:
		return "a number"
	case k == reflect.Slice, k == reflect.Array:
		return "a list"
	case k == reflect.Map, k == reflect.Struct:
		return "a table"
	}

	return "a value for " + t.String()
}
