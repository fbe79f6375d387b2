package config

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// document is a TOML text with the places of its keys. The decoder that does the work tells the
// places of its own errors only; the rest of the checks find theirs here.
type document struct {
	file        string
	text        []byte
	expressions []expression
	entries     []entry // in the order of the text
	line, col   int     // of errors that have no place
	errs        []*Error

	// What split makes of a file.
	known    []string          // components
	heads    []byte            // the text with the sections of components blanked, so that places stay
	renames  []edit            // of old names of tables in heads
	written  map[string]string // the names of tables in the file by those of today
	sections map[string]Section
}

// expression is a table header, or a key and its value outside of any value.
type expression struct {
	kind  unstable.Kind
	parts []part // of its key
}

// part is one part of a dotted key.
type part struct {
	name       string
	start, end int // offsets
}

// entry is a key with its value, an element of an array, or a table.
type entry struct {
	path  []string      // from the root; elements have that of their array
	start int           // offset of the key as it is written there, or of the element
	last  int           // offset of the last part of the key
	depth int           // arrays around an element; zero for keys
	kind  unstable.Kind // of the value; Table and ArrayTable for headers
	text  string        // the value of a string
	raw   unstable.Range
}

// newDocument checks that text is TOML and finds its keys.
func newDocument(file, text string) *document {
	text = strings.TrimPrefix(text, "\uFEFF") // some editors mark UTF-8 so, and TOML does not know it
	d := &document{file: file, text: []byte(text), line: 1, col: 1}
	var all map[string]any
	if err := toml.Unmarshal(d.text, &all); err != nil {
		d.explainSyntax(err)
		return d
	}
	d.walk()
	return d
}

func (d *document) walk() {
	var p unstable.Parser
	p.Reset(d.text)
	var table []string
	for p.NextExpression() {
		node := p.Expression()
		parts := keyParts(node)
		d.expressions = append(d.expressions, expression{node.Kind, parts})
		if node.Kind == unstable.KeyValue {
			d.walkKey(table, parts, node.Value())
			continue
		}
		table = join(nil, parts)
		d.entries = append(d.entries, entry{
			path: table, kind: node.Kind,
			start: parts[0].start, last: parts[len(parts)-1].start,
		})
	}
}

func (d *document) walkKey(table []string, parts []part, value *unstable.Node) {
	path := join(table, parts)
	d.walkValue(entry{path: path, start: parts[0].start, last: parts[len(parts)-1].start}, value)
}

func (d *document) walkValue(e entry, value *unstable.Node) {
	e.kind, e.raw = value.Kind, value.Raw
	if value.Kind == unstable.String {
		e.text = string(value.Data)
	}
	if e.depth > 0 {
		e.start, e.last = int(value.Raw.Offset), int(value.Raw.Offset)
	}
	nested := value.Kind == unstable.Array || value.Kind == unstable.InlineTable
	if e.depth == 0 || !nested {
		d.entries = append(d.entries, e)
	}
	if !nested {
		return
	}
	for it := value.Children(); it.Next(); {
		if child := it.Node(); child.Kind == unstable.KeyValue {
			d.walkKey(e.path, keyParts(child), child.Value())
		} else {
			d.walkValue(entry{path: e.path, depth: e.depth + 1}, child)
		}
	}
}

func keyParts(node *unstable.Node) (parts []part) {
	for it := node.Key(); it.Next(); {
		raw := it.Node().Raw
		parts = append(parts, part{
			name: string(it.Node().Data), start: int(raw.Offset), end: int(raw.Offset + raw.Length),
		})
	}
	return parts
}

func join(path []string, parts []part) []string {
	joined := append([]string(nil), path...)
	for _, p := range parts {
		joined = append(joined, p.name)
	}
	return joined
}

// at returns the offset of the first key with the given path or below it, and whether there is
// any. The decoder takes any case, but what is written alike comes first.
func (d *document) at(path ...string) (int, bool) {
	for _, equal := range []func(a, b []string) bool{slices.Equal[[]string], equalFold} {
		for _, e := range d.entries {
			if len(e.path) >= len(path) && equal(e.path[:len(path)], path) {
				return e.last, true
			}
		}
	}
	return 0, false
}

// elements returns the offsets of the scalar elements of the array with the given path.
func (d *document) elements(path ...string) (offsets []int) {
	for _, e := range d.entries {
		if e.depth > 0 && equalFold(e.path, path) {
			offsets = append(offsets, e.start)
		}
	}
	return offsets
}

func equalFold(a, b []string) bool { return slices.EqualFunc(a, b, strings.EqualFold) }

// fail notes an error at an offset of the text.
func (d *document) fail(offset int, format string, args ...any) {
	line, col := d.place(offset)
	d.errs = append(d.errs, &Error{File: d.file, Line: line, Col: col, Err: fmt.Errorf(format, args...)})
}

func (d *document) place(offset int) (line, col int) {
	before := d.text[:min(offset, len(d.text))]
	return bytes.Count(before, []byte("\n")) + 1, len(before) - bytes.LastIndexByte(before, '\n')
}

// edit replaces bytes of a text.
type edit struct {
	at, length int
	text       string
}

// apply returns the text with the edits made, which must be in the order of their places.
func apply(text []byte, edits []edit) []byte {
	if len(edits) == 0 {
		return text
	}
	var out []byte
	done := 0
	for _, e := range edits {
		out = append(append(out, text[done:e.at]...), e.text...)
		done = e.at + e.length
	}
	return append(out, text[done:]...)
}

// original returns the offset before the edits of an offset after them.
func original(offset int, edits []edit) int {
	shift := 0
	for _, e := range edits {
		if offset < e.at+shift {
			break
		}
		if offset < e.at+shift+len(e.text) {
			return e.at
		}
		shift += len(e.text) - e.length
	}
	return offset - shift
}
