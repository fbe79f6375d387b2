// Package telemetry reads what applications say about themselves: their logs, from the files that
// their keeper writes, their metrics, and what happened to them lately. Reading never makes an
// application wait.
package telemetry

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/divisi-go/divisi/internal/name"
)

// Entry is one entry of a log.
type Entry struct {
	Time      time.Time         `json:"time"`
	Level     string            `json:"level"` // debug, info, warn, error; stdout or stderr if printed
	Msg       string            `json:"msg"`
	Component string            `json:"component,omitempty"`
	Replica   string            `json:"replica,omitempty"`
	Version   string            `json:"version,omitempty"`
	File      string            `json:"file,omitempty"`
	Line      int               `json:"line,omitempty"`
	Attrs     map[string]string `json:"attrs,omitempty"`
}

// line is an entry as processes write it.
type line struct {
	Entry
	Node string `json:"node"`
}

// parse reads a line of the log file of a replica. A line that is no entry is one as it is.
func parse(text []byte, replica string) Entry {
	var l line
	if err := json.Unmarshal(text, &l); err != nil || l.Level == "" {
		return Entry{Level: "stderr", Msg: strings.ToValidUTF8(string(text), "\ufffd"), Replica: replica}
	}
	l.Replica = l.Node
	if l.Replica == "" {
		l.Replica = replica
	}
	return l.Entry
}

// colors of levels on a terminal.
var colors = map[string]string{"debug": "\x1b[2m", "warn": "\x1b[33m", "error": "\x1b[31m"}

// Format returns an entry as one line, with colours if asked for. What could control a terminal
// is shown, not sent.
func (e Entry) Format(color bool) string {
	var b strings.Builder
	on, off := "", ""
	if c := colors[e.Level]; color && c != "" {
		on, off = c, "\x1b[0m"
	}
	fmt.Fprintf(&b, "%s%s %-6s %s", on, e.Time.Local().Format("15:04:05.000"), visible(e.Level),
		visible(e.Replica))
	if e.Component != "" {
		fmt.Fprintf(&b, " [%s]", visible(name.Short(e.Component)))
	}
	fmt.Fprintf(&b, " %s", visible(e.Msg))
	for _, key := range slices.Sorted(maps.Keys(e.Attrs)) {
		value := e.Attrs[key]
		if strings.ContainsAny(value, " \t\n\"=") || value == "" {
			value = strconv.Quote(value)
		}
		fmt.Fprintf(&b, " %s=%s", visible(key), visible(value))
	}
	b.WriteString(off)
	return b.String()
}

// visible replaces control characters by what Go would write for them.
func visible(s string) string {
	plain := func(r rune) bool { return r == '\t' || r >= ' ' && (r < 0x7f || r > 0x9f) }
	if strings.IndexFunc(s, func(r rune) bool { return !plain(r) }) < 0 {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if plain(r) {
			b.WriteRune(r)
		} else {
			quoted := strconv.QuoteRune(r)
			b.WriteString(quoted[1 : len(quoted)-1])
		}
	}
	return b.String()
}
