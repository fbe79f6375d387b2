package config

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/divisi-go/divisi/internal/name"
	"github.com/pelletier/go-toml/v2/unstable"
)

// Section is the text of a component's table. It is TOML without the table's own header, so it can be
// passed on as text and decoded by anyone. In a section that Parse made, everything has the line and the
// column that it has in the file, and a comment at the end names the file for [Decode].
type Section string

// origin is how the comment begins: `#divisi:section "app.toml" 12 1`.
const origin = "\n#divisi:section "

func (s Section) origin() (file string, line, col int) {
	if i := strings.LastIndex(string(s), origin); i >= 0 {
		text, _, _ := strings.Cut(string(s[i+len(origin):]), "\n")
		quoted, err := strconv.QuotedPrefix(text)
		place := strings.Fields(text[len(quoted):])
		if err == nil && len(place) == 2 {
			file, fileErr := strconv.Unquote(quoted)
			line, lineErr := strconv.Atoi(place[0])
			col, colErr := strconv.Atoi(place[1])
			if errors.Join(fileErr, lineErr, colErr) == nil {
				return file, line, col
			}
		}
	}

	return "section", 1, 1
}

// Whole is the section that is all of a file.
func Whole(file, text string) Section {
	return Section(fmt.Sprintf("%s%s%q 1 1\n", text, origin, file))
}

// Decode decodes a component's section into v, a pointer to a struct, and then calls v's method
// Validate() error if it has one. Fields that the section does not name keep their values. A key for
// which v has no field is an error. A time.Duration is a string such as "1m30s", or nanoseconds.
// Errors name the place in the file that the section comes from, as errors of [Parse] do.
func Decode(section Section, v any) error {
	file, line, col := section.origin()
	d := newDocument(file, string(section))
	d.line, d.col = line, col
	if len(d.errs) == 0 {
		d.decode(v, d.root)
	}
	if len(d.errs) > 0 {
		return d.err()
	}

	if v, ok := v.(interface{ Validate() error }); ok {
		if err := v.Validate(); err != nil {
			return &Error{File: file, Line: line, Col: col, Err: err}
		}
	}

	return nil
}

// Canonical returns a text that says what the section says, and nothing of where, in which order, how and
// with which comments it is written. It is not TOML.
func (s Section) Canonical() string {
	d := newDocument("", string(s))
	if len(d.errs) > 0 {
		return string(s)
	}
	var b strings.Builder
	d.root.canonical(&b)
	return b.String()
}

func (n *node) canonical(b *strings.Builder) {
	switch n.kind {
	case unstable.Table, unstable.InlineTable:
		b.WriteString("{")
		byName := func(x, y key) int { return strings.Compare(x.name, y.name) }
		for _, k := range slices.SortedFunc(slices.Values(n.keys), byName) {
			fmt.Fprintf(b, "%q:", k.name)
			k.node.canonical(b)
			b.WriteString(",")
		}
		b.WriteString("}")
	case unstable.Array, unstable.ArrayTable:
		b.WriteString("[")
		for _, elem := range n.list {
			elem.canonical(b)
			b.WriteString(",")
		}
		b.WriteString("]")
	case unstable.String:
		fmt.Fprintf(b, "%q", n.value)
	case unstable.Float:
		b.WriteString(strconv.FormatFloat(n.value.(float64), 'e', -1, 64)) // unlike a whole number
	case unstable.Integer, unstable.Bool:
		fmt.Fprint(b, n.value)
	default:
		b.WriteString(n.text)
	}
}

// region is the lines that belong to one component, or to none.
type region struct {
	start, end int
	owner      string
}

// split separates the sections of components from the rest of a file. known are the components of the
// binary, none if it is unknown; configured are the components that take a section, nil if that is
// not known.
func (d *document) split(known, configured []string) {
	d.known, d.whole = known, true
	regions := []region{{}}
	headers := map[string][]span{} // what is not in the sections of a component
	owner, inTable := "", false
	for _, x := range d.expressions {
		inTable = inTable || x.kind != unstable.KeyValue
		if x.kind != unstable.KeyValue || !inTable {
			owner = d.owner(x)
			if owner != "" {
				if configured != nil && headers[owner] == nil && !slices.Contains(configured, owner) {
					d.fail(x.parts[0].start, "component %q takes no configuration: "+
						"embed divisi.WithConfig in its struct, or remove the section", owner)
				}
				headers[owner] = append(headers[owner], d.header(x, owner, len(headers[owner]) == 0))
			}
		}

		start := bytes.LastIndexByte(d.text[:x.parts[0].start], '\n') + 1
		regions[len(regions)-1].end = start
		regions = append(regions, region{start, len(d.text), owner})
	}

	if len(d.errs) > 0 {
		return
	}

	d.sections = map[string]Section{}
	for component, edits := range headers {
		d.sections[component] = d.section(component, regions, edits)
	}
}

// owner returns the component that a header, or a key outside of tables, belongs to, or "" for
// the tables of this package.
func (d *document) owner(x expression) string {
	first := x.parts[0]
	if !isComponent(first.name) {
		return ""
	}
	return d.component(first.start, first.name)
}

// isComponent reports whether a table is for a component.
func isComponent(table string) bool {
	return strings.Contains(table, "/") && oldNames[table] == ""
}

// component returns the full name of the component that is meant by s. It notes an error at an
// offset, and returns "", if there is none.
func (d *document) component(offset int, s string) string {
	if s == string(name.OldMain) && !slices.Contains(d.known, s) {
		s = string(name.Main)
	}

	if len(d.known) == 0 {
		if _, err := name.ParseComponent(s); err != nil {
			d.fail(offset, "%w", err)
			return ""
		}
	} else if !slices.Contains(d.known, s) {
		d.fail(offset, "component %q is not in the binary: %s", s, name.Suggest(s, d.known))
		return ""
	}

	return s
}

// span is a part of the text.
type span struct{ start, end int }

// header returns the part of a key that has to be removed so that the rest of the key begins at the root
// of a component's section.
func (d *document) header(x expression, owner string, first bool) span {
	start := x.parts[0].start
	if len(x.parts) > 1 {
		return span{start, x.parts[1].start}
	}

	table := "[" + show(owner) + "]"
	switch {
	case x.kind == unstable.KeyValue:
		d.fail(start, "the section of a component is a table of its own: write it below a line %s", table)
	case x.kind == unstable.ArrayTable:
		d.fail(start, "the section of a component is one table: write %s", table)
	case !first:
		d.fail(start, "%s comes after a table inside it: move it up", table)
	}

	open := bytes.LastIndexByte(d.text[:start], '[')
	end := x.parts[0].end
	return span{open, end + bytes.IndexByte(d.text[end:], ']') + 1}
}

// section returns the regions of a component where they are, and nothing but line ends before
// and between them.
func (d *document) section(component string, regions []region, headers []span) Section {
	text := slices.Clone(d.text)
	for _, h := range headers {
		blank(text[h.start:h.end])
	}

	var out []byte
	for _, r := range regions {
		if r.owner == component {
			out = append(out, text[r.start:r.end]...)
		} else {
			out = append(out, bytes.Repeat([]byte("\n"), bytes.Count(text[r.start:r.end], []byte("\n")))...)
		}
	}

	line, col := d.place(headers[0].start)
	out = fmt.Appendf(bytes.TrimRight(out, " \t\r\n"), "%s%q %d %d\n", origin, d.file, line, col)
	return Section(out)
}

// rename gives tables with old names their present names, and reports whether no table is there under both.
func (d *document) rename() bool {
	d.written = map[string]string{}
	first := map[string]key{}
	for i, k := range d.root.keys {
		if isComponent(k.name) {
			continue
		}

		now := cmp.Or(oldNames[k.name], strings.ToLower(k.name))
		if other, used := first[now]; used {
			line, _ := d.place(other.at)
			d.fail(k.at, "[%s] here and [%s] in line %d are the same table: keep [%s] and move the other's keys into it",
				show(k.name), show(other.name), line, now)
			return false
		}

		first[now], d.written[now] = k, k.name
		d.root.keys[i].name = now
		delete(d.root.index, k.name)
		d.root.index[now] = i
	}

	return true
}

// heads returns the part of the document that is not for components.
func (d *document) heads() *node {
	return &node{kind: unstable.Table, keys: slices.DeleteFunc(slices.Clone(d.root.keys), func(k key) bool {
		return isComponent(k.name)
	})}
}

// blank keeps the places of what comes after.
func blank(text []byte) {
	for i, b := range text {
		if b != '\n' {
			text[i] = ' '
		}
	}
}
