// Package logline has the format of the lines of a log: a line is a JSON object whose first member
// tells it from what applications print. Weavelets write such lines to their standard error, the
// keeper recognises them there and writes them to files, and others read those.
package logline

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// MaxLine bounds a line, with its end. What is longer is cut, and says so.
const MaxLine = 64 << 10

// Entry is one entry of a log.
type Entry struct {
	Time      time.Time `json:"time"`
	Level     string    `json:"level"` // debug, info, warn, error; stdout or stderr if printed
	Msg       string    `json:"msg"`
	Component string    `json:"component"` // full name
	Node      string    `json:"node"`      // the replica
	Version   string    `json:"version"`
	File      string    `json:"file"`
	Line      int       `json:"line"`
	Attrs     Attrs     `json:"attrs"`

	// Cut is how many bytes of the message are missing at its end already.
	Cut int `json:"-"`
}

// Attrs are keys and values in turn.
type Attrs []string

var _ json.Unmarshaler = (*Attrs)(nil)

// UnmarshalJSON reads an object, in the order of its keys.
func (a *Attrs) UnmarshalJSON(data []byte) error {
	var values map[string]string
	if err := json.Unmarshal(data, &values); err != nil {
		return err
	}
	*a = nil
	for _, key := range slices.Sorted(maps.Keys(values)) {
		*a = append(*a, key, values[key])
	}
	return nil
}

// Bounds of what is in a line, as it is written.
const (
	maxName  = 1 << 10     // of each name
	maxMsg   = MaxLine / 2 // of the message, if there are attributes
	minAttr  = 64          // of an attribute, however many there are: the last ones are cut
	reserved = 64          // for the end of a line
)

// Append appends an entry as a line. The key is the one by which the keeper knows the writer, as Own
// has it.
func Append(line []byte, e *Entry, key string) []byte {
	w := writer{line: append(line, marker(key)...), end: len(line) + MaxLine - reserved}
	w.line = append(w.line, `"time":"`...)
	w.line = e.Time.UTC().AppendFormat(w.line, time.RFC3339Nano)
	w.line = append(w.line, '"')

	most := maxMsg
	if len(e.Attrs) < 2 {
		most = w.room() - 6*maxName
	}
	w.member("level", e.Level, maxName, 0)
	w.member("msg", e.Msg, most, e.Cut)
	for _, field := range [][2]string{
		{"component", e.Component}, {"node", e.Node}, {"version", e.Version}, {"file", e.File},
	} {
		if field[1] != "" {
			w.member(field[0], field[1], maxName, 0)
		}
	}
	if e.Line > 0 {
		w.line = strconv.AppendInt(append(w.line, `,"line":`...), int64(e.Line), 10)
	}
	w.attrs(e.Attrs)
	return append(w.line, "}\n"...)
}

// writer writes one line.
type writer struct {
	line []byte
	end  int // where the line must end
}

func (w *writer) room() int { return w.end - len(w.line) }

func (w *writer) member(key, value string, most, cut int) {
	w.line = append(w.line, `,"`...)
	w.line = append(w.line, key...)
	w.line = append(w.line, `":`...)
	w.line = appendString(w.line, value, most, cut)
}

// attrs writes attributes. Each has an equal part of the room that those before it have left.
func (w *writer) attrs(attrs Attrs) {
	if len(attrs) < 2 {
		return
	}

	w.line = append(w.line, `,"attrs":{`...)
	for i := 0; i+1 < len(attrs); i += 2 {
		if i > 0 {
			w.line = append(w.line, ',')
		}
		if w.room() < 2*minAttr {
			w.line = fmt.Appendf(w.line, `"…":"%d attributes cut"`, (len(attrs)-i)/2)
			break
		}

		begin := len(w.line)
		share := max(w.room()*2/(len(attrs)-i), minAttr)
		w.line = append(appendString(w.line, attrs[i], share/2-1, 0), ':')
		w.line = appendString(w.line, attrs[i+1], share-(len(w.line)-begin)-1, 0)
	}
	w.line = append(w.line, '}')
}

// appendString appends a string as JSON has it, in at most so many bytes. If some of the string is
// cut, or was before, its end says how much. Bytes that are not UTF-8 become U+FFFD, and what could
// control a terminal is escaped.
func appendString(b []byte, s string, most, cut int) []byte {
	const mark = 32 // what the end takes
	begin := len(b)
	b = append(b, '"')
	fits, rest := len(b), len(s) // where the end may stand, and how much of s is cut then
	for i, r := range s {
		if len(b)-begin+mark <= most {
			fits, rest = len(b), len(s)-i
		}
		b = appendRune(b, r)
		if len(b)-begin >= most {
			break
		}
	}

	switch {
	case len(b)-begin >= most:
		b = fmt.Appendf(b[:fits], "… (%d bytes cut)", rest+cut)
	case cut > 0 && len(b)-begin+mark <= most:
		b = fmt.Appendf(b, "… (%d bytes cut)", cut)
	case cut > 0:
		b = fmt.Appendf(b[:fits], "… (%d bytes cut)", rest+cut)
	}
	return append(b, '"')
}

func appendRune(b []byte, r rune) []byte {
	switch {
	case r == '"' || r == '\\':
		return append(b, '\\', byte(r))
	case r == '\n':
		return append(b, '\\', 'n')
	case controls(r):
		return fmt.Appendf(b, "\\u%04x", r)
	}
	return utf8.AppendRune(b, r)
}

// controls reports whether a character could control a terminal, or the direction in which it
// shows others.
func controls(r rune) bool {
	return unicode.IsControl(r) || r == '\u2028' || r == '\u2029' || unicode.Is(unicode.Bidi_Control, r)
}

// marker begins the lines of a writer with a key.
func marker(key string) string {
	if key == "" {
		return `{"divisi":1,`
	}
	return `{"divisi":` + strconv.Quote(key) + `,`
}

// Own returns the line that goes to a file if a text, without its end, is a line that a writer with
// the key has written: that line without the key. Only the weavelet knows the key, so what an
// application prints is never taken for an entry.
func Own(text []byte, key string) (line []byte, ok bool) {
	rest, ok := bytes.CutPrefix(text, []byte(marker(key)))
	if !ok || !json.Valid(text) {
		return nil, false
	}
	return slices.Concat([]byte(marker("")), rest, []byte("\n")), true
}

// Parse reads a line, without its end, of a file.
func Parse(text []byte) (e Entry, ok bool) {
	err := json.Unmarshal(text, &e)
	return e, err == nil && e.Level != ""
}

// Dropped says how many things of a kind are missing, because a reader or a disk was too slow.
func Dropped(n int64, what string) string {
	return fmt.Sprintf("%d %s dropped: they came faster than they could be taken", n, what)
}

// Visible returns a text with what could control a terminal written as Go would write it.
func Visible(s string) string {
	hidden := func(r rune) bool { return r != '\t' && controls(r) }
	if strings.IndexFunc(s, hidden) < 0 {
		return s
	}

	var b strings.Builder
	for _, r := range s {
		if !hidden(r) {
			b.WriteRune(r)
			continue
		}
		quoted := strconv.QuoteRuneToASCII(r)
		b.WriteString(quoted[1 : len(quoted)-1])
	}
	return b.String()
}

// VisibleJSON returns JSON that means the same, with what could control a terminal escaped.
func VisibleJSON(data []byte) []byte {
	hidden := func(r rune) bool { return r > 0x7e && controls(r) } // JSON escapes others in strings
	if bytes.IndexFunc(data, hidden) < 0 {
		return data
	}

	var out []byte
	for i := 0; i < len(data); {
		r, size := utf8.DecodeRune(data[i:])
		if hidden(r) {
			out = fmt.Appendf(out, "\\u%04x", r)
		} else {
			out = append(out, data[i:i+size]...)
		}
		i += size
	}
	return out
}
