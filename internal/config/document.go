package config

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2/unstable"
)

// document is a TOML text as a tree, with the places of its keys and values. It is made with the
// parser of the library go-toml. The library's decoder is several times as much code as the one here,
// in every application, and tells only the places of its own errors.
type document struct {
	file        string
	text        []byte
	root        *node
	expressions []expression
	line, col   int // of errors that have no place
	errs        []*Error

	// What split makes of a file.
	whole    bool              // it is a file, and not a section
	known    []string          // components
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

// node is a value.
type node struct {
	kind  unstable.Kind // Table and ArrayTable also where keys and headers only lead through one
	at    int           // offset of the value, or of the part of a key that made the table
	value any           // of a scalar: string, int64, float64, bool or time.Time
	text  string        // of a date or time, as it is written
	keys  []key         // of a table, in the order of the text
	index map[string]int
	list  []*node // of an array
	made  maker
}

type key struct {
	name string
	at   int // offset
	node *node
}

// maker says what made a table: TOML lets only some of the others add to it.
type maker int

const (
	byPath   maker = iota // the header of a table inside it
	byHeader              // its own header
	byKey                 // a dotted key
)

func (n *node) get(name string) *node {
	if i, ok := n.index[name]; ok {
		return n.keys[i].node
	}
	return nil
}

func (n *node) put(p part, child *node) *node {
	if n.index == nil {
		n.index = map[string]int{}
	}
	n.index[p.name] = len(n.keys)
	n.keys = append(n.keys, key{p.name, p.start, child})
	return child
}

// newDocument reads a text. Whatever is not TOML is in the document's errors.
func newDocument(file, text string) *document {
	text = strings.TrimPrefix(text, "\uFEFF") // some editors mark UTF-8 so, and TOML does not know it
	d := &document{
		file: file, text: []byte(text), line: 1, col: 1,
		root: &node{kind: unstable.Table, made: byHeader},
	}

	var p unstable.Parser
	p.Reset(d.text)
	for table := d.root; p.NextExpression() && table != nil; {
		e := p.Expression()
		parts := keyParts(e)
		d.expressions = append(d.expressions, expression{e.Kind, parts})
		if e.Kind == unstable.KeyValue {
			d.set(table, e)
		} else {
			table = d.table(parts, e.Kind == unstable.ArrayTable)
		}
		if len(d.errs) > 0 {
			return d
		}
	}

	if err, ok := errors.AsType[*unstable.ParserError](p.Error()); ok {
		// Highlight is a slice of the text. Both end at the same place in memory, so the difference of
		// their capacities is where it begins.
		d.explainSyntax(min(cap(d.text)-cap(err.Highlight), len(d.text)), err.Message)
	} else if p.Error() != nil {
		d.invalid(0, "%w", p.Error())
	}

	return d
}

func keyParts(n *unstable.Node) (parts []part) {
	for it := n.Key(); it.Next(); {
		raw := it.Node().Raw
		parts = append(parts, part{
			name: string(it.Node().Data), start: int(raw.Offset), end: int(raw.Offset + raw.Length),
		})
	}
	return parts
}

// invalid notes that the text is not TOML for a reason that the parser does not look for.
func (d *document) invalid(offset int, format string, args ...any) {
	d.fail(offset, "not valid TOML: "+format, args...)
}

func (d *document) twice(p part) {
	d.invalid(p.start, "key %s is already defined: keep one of them", show(p.name))
}

// table returns the table that a header names, or nil if it must not.
func (d *document) table(parts []part, isElement bool) *node {
	n := d.descend(d.root, parts, byPath)
	if n == nil {
		return nil
	}

	last := parts[len(parts)-1]
	named := &node{kind: unstable.Table, at: last.start, made: byHeader}
	switch child := n.get(last.name); {
	case child == nil && isElement:
		n.put(last, &node{kind: unstable.ArrayTable, at: last.start, list: []*node{named}})
		return named
	case child == nil:
		return n.put(last, named)
	case isElement && child.kind == unstable.ArrayTable:
		child.list = append(child.list, named)
		return named
	case !isElement && child.kind == unstable.Table && child.made == byPath:
		child.made = byHeader
		return child
	}

	d.twice(last)
	return nil
}

// descend returns the table that a key leads to without its last part, or nil if it leads to
// something else.
func (d *document) descend(n *node, parts []part, by maker) *node {
	for _, p := range parts[:len(parts)-1] {
		child := n.get(p.name)
		switch {
		case child == nil:
			child = n.put(p, &node{kind: unstable.Table, at: p.start, made: by})
		case child.kind == unstable.ArrayTable && by == byPath:
			child = child.list[len(child.list)-1]
		case child.kind != unstable.Table, by == byKey && child.made != byKey:
			d.twice(p)
			return nil
		}
		n = child
	}

	return n
}

// set gives a key in a table its value.
func (d *document) set(n *node, e *unstable.Node) {
	parts := keyParts(e)
	last := parts[len(parts)-1]
	n = d.descend(n, parts, byKey)
	if n == nil {
		return
	}
	if n.get(last.name) != nil {
		d.twice(last)
		return
	}
	// The parser does not say where an array is.
	at := last.end + len(d.text[last.end:]) - len(bytes.TrimLeft(d.text[last.end:], " \t="))
	n.put(last, d.value(e.Value(), at))
}

// value returns a value, which is at the given offset if it is an array.
func (d *document) value(v *unstable.Node, at int) *node {
	n := &node{kind: v.Kind, at: at}
	if v.Kind != unstable.Array {
		n.at = int(v.Raw.Offset)
	}

	var err error
	switch v.Kind {
	case unstable.Array:
		for it := v.Children(); it.Next(); {
			n.list = append(n.list, d.value(it.Node(), at))
		}
	case unstable.InlineTable:
		for it := v.Children(); it.Next(); {
			d.set(n, it.Node())
		}
	case unstable.String:
		n.value = string(v.Data)
	case unstable.Bool:
		n.value = v.Data[0] == 't'
	case unstable.Integer:
		n.value, err = strconv.ParseInt(strings.ReplaceAll(string(v.Data), "_", ""), 0, 64)
	case unstable.Float:
		text := strings.ReplaceAll(string(v.Data), "_", "")
		if strings.HasSuffix(text, "nan") {
			text = "nan" // it has no sign in Go
		}
		n.value, err = strconv.ParseFloat(text, 64)
	default:
		n.text = string(v.Data)
		n.value, err = parseTime(v.Kind, n.text)
	}

	if err != nil {
		d.invalid(n.at, "%s is out of range", v.Data)
	}

	return n
}

// parseTime parses a date, a time or both. A time without a zone is in the zone of this machine.
func parseTime(kind unstable.Kind, text string) (time.Time, error) {
	const date = "2006-01-02"
	text = strings.ReplaceAll(strings.ReplaceAll(text, "t", "T"), "z", "Z")
	layout, clock := date, text
	if kind != unstable.LocalDate {
		layout = ""
		if kind != unstable.LocalTime && len(text) > len(date) {
			layout, clock = date+"T", text[len(date)+1:]
			text = text[:len(date)] + "T" + clock // a space is as good
		}
		if len(clock) < 5 || clock[2] != ':' {
			return time.Time{}, errors.New("hours and minutes have two digits")
		}
		layout += "15:04"
		if len(clock) > 5 && clock[5] == ':' {
			layout += ":05"
		}
	}

	if kind == unstable.DateTime {
		layout += "Z07:00"
	}

	return time.ParseInLocation(layout, text, time.Local)
}

// at returns the offset of the key at the end of a path, and whether there is one. Keys may be
// written in any case, but what is written alike comes first.
func (d *document) at(path ...string) (int, bool) {
	k := d.find(path)
	return k.at, k.node != nil
}

func (d *document) find(path []string) key {
	found := key{node: d.root}
	for _, name := range path {
		i, ok := found.node.index[name]
		for j := 0; !ok && j < len(found.node.keys); j++ {
			i, ok = j, strings.EqualFold(found.node.keys[j].name, name)
		}
		if !ok {
			return key{}
		}
		found = found.node.keys[i]
	}
	return found
}

// elements returns the offsets of the scalar elements of the array at the end of a path.
func (d *document) elements(path ...string) (offsets []int) {
	var collect func(*node)
	collect = func(n *node) {
		if n.kind != unstable.Array {
			offsets = append(offsets, n.at)
		}
		for _, elem := range n.list {
			collect(elem)
		}
	}
	if k := d.find(path); k.node != nil && k.node.kind == unstable.Array {
		collect(k.node)
	}

	return offsets
}

// fail notes an error at an offset of the text.
func (d *document) fail(offset int, format string, args ...any) {
	line, col := d.place(offset)
	d.errs = append(d.errs, &Error{File: d.file, Line: line, Col: col, Err: fmt.Errorf(format, args...)})
}

func (d *document) place(offset int) (line, col int) {
	before := d.text[:min(offset, len(d.text))]
	return bytes.Count(before, []byte("\n")) + 1, len(before) - bytes.LastIndexByte(before, '\n')
}

// explainSyntax notes an error about the text itself.
func (d *document) explainSyntax(offset int, what string) {
	way := ""
	line, _, _ := bytes.Cut(d.text[bytes.LastIndexByte(d.text[:offset], '\n')+1:], []byte("\n"))
	header, _, _ := strings.Cut(strings.Trim(string(line), "[ \t\r"), "]")
	if bytes.HasPrefix(line, []byte("[")) && strings.Contains(header, "/") && !strings.ContainsAny(header, `"'`) {
		way = `: write the path in quotes, ["` + header + `"]`
	}
	d.invalid(offset, "%s%s", what, way)
}
