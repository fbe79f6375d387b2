package config

import (
	"bytes"
	"encoding"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/divisi-go/divisi/internal/name"
	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// decode decodes text strictly into v. The text is that of the document, or has blanks in it; the
// edits are made before, in the order of their places.
func (d *document) decode(v any, text []byte, edits []edit) {
	t := reflect.TypeOf(v)
	if t == nil || t.Kind() != reflect.Pointer {
		d.errs = append(d.errs, d.unplaced(fmt.Errorf("cannot decode into %T: pass a pointer to a struct", v)))
		return
	}
	// Sorting numbers, which everybody does, saves every application a sort of its own.
	places := map[int]edit{}
	for _, e := range append(slices.Clone(edits), d.durations(t)...) {
		places[e.at] = e
	}
	edits = nil
	for _, place := range slices.Sorted(maps.Keys(places)) {
		edits = append(edits, places[place])
	}
	text = apply(text, edits)
	err := toml.NewDecoder(bytes.NewReader(text)).DisallowUnknownFields().Decode(v)
	var strict *toml.StrictMissingError
	var one *toml.DecodeError
	switch {
	case errors.As(err, &strict):
		for i := range strict.Errors {
			d.explainUnknown(original(errorOffset(text, &strict.Errors[i]), edits), t)
		}
	case errors.As(err, &one):
		d.explain(one, original(errorOffset(text, one), edits), t)
	case err != nil:
		d.errs = append(d.errs, d.unplaced(err))
	}
}

func (d *document) unplaced(err error) *Error {
	return &Error{File: d.file, Line: d.line, Col: d.col, Err: err}
}

// durations returns the edits that make numbers of the strings that are to be durations: the
// decoder does not know them.
func (d *document) durations(t reflect.Type) (edits []edit) {
	for _, e := range d.entries {
		if e.kind != unstable.String {
			continue
		}
		leaf, known, _ := target(t, e)
		if !known || leaf != reflect.TypeFor[time.Duration]() {
			continue
		}
		span, err := time.ParseDuration(e.text)
		if err != nil {
			d.fail(int(e.raw.Offset), "%s cannot be %q: write %s", d.show(e), e.text, wanted(leaf))
		}
		edits = append(edits, edit{
			int(e.raw.Offset), int(e.raw.Length), strconv.FormatInt(int64(span), 10),
		})
	}
	return edits
}

// explainSyntax notes an error about the text itself.
func (d *document) explainSyntax(err error) {
	var one *toml.DecodeError
	if !errors.As(err, &one) {
		d.errs = append(d.errs, d.unplaced(err))
		return
	}
	offset := errorOffset(d.text, one)
	what, way := message(one), ""
	line, _, _ := bytes.Cut(d.text[bytes.LastIndexByte(d.text[:offset], '\n')+1:], []byte("\n"))
	header, _, _ := strings.Cut(strings.Trim(string(line), "[ \t\r"), "]")
	switch {
	case strings.Contains(what, "already"):
		way = ": keep one of them"
	case bytes.HasPrefix(line, []byte("[")) && strings.Contains(header, "/") && !strings.ContainsAny(header, `"'`):
		way = `: write the path in quotes, ["` + header + `"]`
	}
	d.fail(offset, "not valid TOML: %s%s", what, way)
}

// explainUnknown notes that there is no field in a value of type t for the key at an offset.
func (d *document) explainUnknown(offset int, t reflect.Type) {
	e := d.entryAt(offset)
	_, _, i := target(t, e)
	if i == len(e.path) { // the decoder has its own mind about fields
		d.fail(offset, "unknown key %s: remove it", d.show(e))
		return
	}
	container, _, _ := target(t, entry{path: e.path[:i]})
	known := fieldNames(container)
	what, way := "key "+show(e.path[i]), name.Suggest(e.path[i], known)
	switch {
	case i > 0:
		what += " in [" + d.show(entry{path: e.path[:i]}) + "]"
	case d.heads != nil:
		what = "table [" + show(e.path[0]) + "]"
		if other := d.elsewhere(e.path, known); other != "" {
			way = other
		}
	}
	d.fail(offset, "unknown %s: %s", what, way)
}

// elsewhere is the way out for a table that would be right in another place or with more of its
// name, if any.
func (d *document) elsewhere(path, heads []string) string {
	field, _ := reflect.TypeFor[tables]().FieldByName("Divisi")
	if slices.Contains(fieldNames(field.Type), strings.ToLower(path[0])) {
		return show(path[0]) + " belongs into [divisi]"
	}
	if _, ok := name.Nearest(path[0], heads); ok {
		return ""
	}
	if full, ok := name.Nearest(strings.Join(path, "."), d.known); ok {
		return "the section of a component has its full name, [" + show(full) + "]"
	}
	return ""
}

// explain notes what the decoder found wrong with a value at an offset.
func (d *document) explain(err *toml.DecodeError, offset int, t reflect.Type) {
	e, what := d.entryAt(offset), message(err)
	found := what
	for _, prefix := range []string{"cannot decode TOML ", "cannot store a ", "cannot store an "} {
		found = strings.TrimPrefix(found, prefix)
	}
	found, _, _ = strings.Cut(found, " in")
	leaf, known, _ := target(t, e)
	got, ok := tomlKinds[found]
	if !ok || !known || wanted(leaf) == got {
		d.fail(offset, "%s: %s", d.show(e), what)
		return
	}
	key := d.show(e)
	if e.depth > 0 {
		key = "an element of " + key
	}
	d.fail(offset, "%s cannot be %s: write %s", key, got, wanted(leaf))
}

// message returns the text of an error without the name of the package it is from.
func message(err *toml.DecodeError) string { return strings.TrimPrefix(err.Error(), "toml: ") }

// errorOffset returns where in text the decoder saw an error.
func errorOffset(text []byte, err *toml.DecodeError) int {
	row, col := err.Position()
	offset := 0
	for range row - 1 {
		offset += bytes.IndexByte(text[offset:], '\n') + 1
	}
	return min(offset+col-1, len(text))
}

// entryAt returns the last entry that begins at or before an offset.
func (d *document) entryAt(offset int) (at entry) {
	for _, e := range d.entries {
		if e.start <= offset && e.start >= at.start {
			at = e
		}
	}
	return at
}

// show writes the key of an entry as the file does.
func (d *document) show(e entry) string {
	path := slices.Clone(e.path)
	if len(path) > 0 && d.written[path[0]] != "" {
		path[0] = d.written[path[0]]
	}
	return show(path...)
}

// target returns the type that an entry is decoded into below a value of type t. If there is none,
// known is false and unknown is the index of the part of its path that has no field.
func target(t reflect.Type, e entry) (leaf reflect.Type, known bool, unknown int) {
	for i, key := range e.path {
		t = element(t, 1<<10)
		switch {
		case isText(t):
			return nil, false, len(e.path)
		case t.Kind() == reflect.Map:
			t = t.Elem()
		case t.Kind() == reflect.Struct:
			f, ok := field(t, key)
			if !ok {
				return nil, false, i
			}
			t = f.Type
		default:
			return nil, false, len(e.path)
		}
	}
	return element(t, e.depth), true, len(e.path)
}

// element takes away pointers, and up to n slices and arrays.
func element(t reflect.Type, n int) reflect.Type {
	for {
		switch t.Kind() {
		case reflect.Pointer:
		case reflect.Slice, reflect.Array:
			if n == 0 {
				return t
			}
			n--
		default:
			return t
		}
		t = t.Elem()
	}
}

func field(t reflect.Type, key string) (reflect.StructField, bool) {
	for _, f := range reflect.VisibleFields(t) {
		if k, ok := fieldName(f); ok && strings.EqualFold(k, key) {
			return f, true
		}
	}
	return reflect.StructField{}, false
}

func fieldNames(t reflect.Type) (names []string) {
	if t = element(t, 1<<10); t.Kind() != reflect.Struct {
		return nil
	}
	for _, f := range reflect.VisibleFields(t) {
		if k, ok := fieldName(f); ok {
			names = append(names, k)
		}
	}
	return names
}

// fieldName returns the key of a field: that in its tag, or its name in lower case, which is how
// keys are written although the decoder takes any case.
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

// tomlKinds are the decoder's names of what is in a file, as we say them.
var tomlKinds = map[string]string{
	"string": "a string", "integer": "a whole number", "float": "a number with a fraction",
	"boolean": "true or false", "array": "a list", "inline table": "a table", "table": "a table",
	"array table": "a list of tables", "datetime": "a date and time",
	"local datetime": "a date and time", "local date": "a date", "local time": "a time of day",
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
