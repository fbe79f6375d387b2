package gerbil

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// kind says what a datum is.
type kind int

const (
	symbol  kind = iota // also #f and #t
	keyword             // a symbol with a colon at its end, which its text does not have
	number
	text
	list
)

// datum is what a file of Gerbil has at a place.
type datum struct {
	kind kind
	line int
	text string
	list []datum
	tail *datum // of a list, behind a dot; nil for none
}

// The bounds of a file.
const (
	maxText  = 1 << 20 // bytes
	maxDepth = 100     // lists within lists
)

// Mistake is why a file cannot be read.
type Mistake struct {
	File string
	Line int
	Why  string
}

func (m *Mistake) Error() string { return fmt.Sprintf("%s:%d: %s", m.File, m.Line, m.Why) }

// reader reads what a file has.
type reader struct {
	file string
	rest string
	line int
}

// parse reads a file: a list of data, with parentheses around it or without.
func parse(file, content string) ([]datum, error) {
	r := &reader{file: file, rest: content, line: 1}
	if len(content) > maxText {
		return nil, r.wrong("it has %d bytes: at most %d are read", len(content), maxText)
	}
	if !utf8.ValidString(content) {
		return nil, r.wrong("it is no text in UTF-8")
	}
	all, err := r.list(0, 1)
	if err != nil {
		return nil, err
	}
	if len(all.list) == 1 && all.list[0].kind == list && all.list[0].tail == nil {
		return all.list[0].list, nil
	}
	return all.list, nil
}

func (r *reader) wrong(format string, args ...any) error {
	return &Mistake{r.file, r.line, fmt.Sprintf(format, args...)}
}

// space skips what means nothing.
func (r *reader) space() {
	for r.rest != "" {
		switch c := r.rest[0]; {
		case c == '\n':
			r.line++
		case c == ';':
			end := strings.IndexByte(r.rest, '\n')
			if end < 0 {
				end = len(r.rest)
			}
			r.rest = r.rest[end:]
			continue
		case c > ' ':
			return
		}
		r.rest = r.rest[1:]
	}
}

// list reads data up to an end, which is that of the file for 0.
func (r *reader) list(end byte, depth int) (datum, error) {
	all := datum{kind: list, line: r.line}
	for r.space(); ; r.space() {
		switch {
		case r.rest == "" && end == 0:
			return all, nil
		case r.rest == "":
			return all, &Mistake{r.file, all.line, "the list that begins here has no end"}
		case r.rest[0] == end:
			r.rest = r.rest[1:]
			return all, nil
		case all.tail != nil:
			return all, r.wrong("something follows what is behind the dot")
		}
		one, err := r.one(depth)
		if err != nil {
			return all, err
		}
		if one.kind == symbol && one.text == "." && len(all.list) > 0 && end != 0 {
			r.space()
			if r.rest == "" || r.rest[0] == end {
				return all, r.wrong("nothing follows the dot")
			}
			behind, err := r.one(depth)
			if err != nil {
				return all, err
			}
			all.tail = &behind
			continue
		}
		all.list = append(all.list, one)
	}
}

// one reads one datum.
func (r *reader) one(depth int) (datum, error) {
	if depth > maxDepth {
		return datum{}, r.wrong("there are more than %d data within each other", maxDepth)
	}
	switch c := r.rest[0]; c {
	case '(', '[':
		r.rest = r.rest[1:]
		return r.list(map[byte]byte{'(': ')', '[': ']'}[c], depth+1)
	case ')', ']':
		return datum{}, r.wrong("there is %q, and no list that ends", c)
	case '"':
		return r.quoted('"', text)
	case '|':
		return r.quoted('|', symbol)
	case '\'', '`':
		r.rest = r.rest[1:]
		if r.space(); r.rest == "" {
			return datum{}, r.wrong("nothing is quoted")
		}
		return r.one(depth + 1) // which is what it means in a configuration
	}
	end := strings.IndexFunc(r.rest, func(c rune) bool { return c <= ' ' || strings.ContainsRune(`()[]";'`, c) })
	if end < 0 {
		end = len(r.rest)
	}
	word := r.rest[:end]
	r.rest = r.rest[end:]
	d := datum{line: r.line, text: word}
	if _, err := strconv.ParseInt(word, 10, 64); err == nil {
		d.kind = number
	} else if name, is := strings.CutSuffix(word, ":"); is && name != "" {
		d.kind, d.text = keyword, name
	}
	return d, nil
}

// quoted reads what is between two of a character.
func (r *reader) quoted(by byte, of kind) (datum, error) {
	d := datum{kind: of, line: r.line}
	var b strings.Builder
	for i := 1; i < len(r.rest); i++ {
		c := r.rest[i]
		switch {
		case c == by:
			d.text, r.rest = b.String(), r.rest[i+1:]
			return d, nil
		case c == '\\' && i+1 < len(r.rest):
			i++
			c = r.rest[i]
			switch c {
			case 'n':
				c = '\n'
			case 't':
				c = '\t'
			case 'r':
				c = '\r'
			}
		case c == '\n':
			r.line++
		}
		b.WriteByte(c)
	}
	return d, &Mistake{r.file, d.line, "the text that begins here has no end"}
}

// String returns a datum as a file has it, on one line, and not all of a long one.
func (d datum) String() string {
	switch d.kind {
	case text:
		return strconv.Quote(d.text)
	case keyword:
		return d.text + ":"
	case list:
		var all []string
		for i, one := range d.list {
			if i == 4 {
				all = append(all, "...")
				break
			}
			all = append(all, one.String())
		}
		if d.tail != nil {
			all = append(all, ".", d.tail.String())
		}
		return "(" + strings.Join(all, " ") + ")"
	}
	return d.text
}

// value returns what a datum is in a document: a text, a number, true or false, a list, or a table where it has keys.
func (d datum) value() any {
	switch {
	case d.kind == number:
		n, _ := strconv.ParseInt(d.text, 10, 64) // which parse has looked at
		return n
	case d.kind != list && (d.text == "#t" || d.text == "#f"):
		return d.text == "#t"
	case d.kind != list:
		return d.text
	}
	table, all := map[string]any{}, []any{}
	for i := 0; i < len(d.list); i++ {
		one := d.list[i]
		switch {
		case one.kind == keyword && i+1 < len(d.list):
			i++
			table[one.text] = d.list[i].value()
		case one.kind == list && len(one.list) == 1 && one.tail != nil:
			table[one.list[0].text] = one.tail.value()
		default:
			all = append(all, one.value())
		}
	}
	if len(table) > 0 && len(all) == 0 {
		return table
	}
	for key, value := range table {
		all = append(all, map[string]any{key: value})
	}
	return all
}
