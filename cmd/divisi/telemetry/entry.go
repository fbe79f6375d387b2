// Package telemetry reads what applications say about themselves: their logs, from the files that
// their keeper writes, their metrics, and what happened to them lately. Reading never makes an
// application wait.
package telemetry

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/divisi-go/divisi/internal/logline"
	"github.com/divisi-go/divisi/internal/name"
)

// Entry is one entry of a log.
type Entry struct {
	Time      time.Time         `json:"time"`
	Kind      string            `json:"kind,omitempty"`
	Level     string            `json:"level"` // debug, info, warn, error; stdout or stderr if printed
	Msg       string            `json:"msg"`
	Component string            `json:"component,omitempty"`
	Replica   string            `json:"replica,omitempty"`
	Version   string            `json:"version,omitempty"`
	File      string            `json:"file,omitempty"`
	Line      int               `json:"line,omitempty"`
	Attrs     map[string]string `json:"attrs,omitempty"`
}

// The kinds of entries: what the deployer has seen happen, which has a file of its own, and what
// processes log and print. An entry without a kind is of the latter.
const (
	KindEvent = "event"
	KindLog   = "log"
)

// parse reads a line of the log file of a replica. A line that is no entry is one as it is.
func parse(text []byte, replica string) Entry {
	l, ok := logline.Parse(text)
	if !ok {
		return Entry{Level: "stderr", Msg: strings.ToValidUTF8(string(text), "\ufffd"), Replica: replica}
	}

	e := Entry{
		Time: l.Time, Level: l.Level, Msg: l.Msg, Component: l.Component, Replica: cmp.Or(l.Node, replica),
		Version: l.Version, File: l.File, Line: l.Line,
	}

	for i := 0; i+1 < len(l.Attrs); i += 2 {
		if e.Attrs == nil {
			e.Attrs = map[string]string{}
		}
		e.Attrs[l.Attrs[i]] = l.Attrs[i+1]
	}

	if replica == eventName {
		e.Kind, e.Replica = KindEvent, l.Node
	}

	return e
}

// MarshalJSON writes an entry without characters that could control a terminal.
func (e Entry) MarshalJSON() ([]byte, error) {
	type plain Entry
	data, err := json.Marshal(plain(e))
	return logline.VisibleJSON(data), err
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

	fmt.Fprintf(&b, "%s%s %-6s", on, e.Time.Local().Format("15:04:05.000"), logline.Visible(e.Level))
	if e.Kind == KindEvent {
		// Its words name the replica.
		return b.String() + " * " + logline.Visible(e.Msg) + off
	}

	fmt.Fprintf(&b, " %s", logline.Visible(e.Replica))
	if e.Component != "" {
		fmt.Fprintf(&b, " [%s]", logline.Visible(name.Short(e.Component)))
	}

	fmt.Fprintf(&b, " %s", logline.Visible(e.Msg))
	for _, key := range slices.Sorted(maps.Keys(e.Attrs)) {
		value := e.Attrs[key]
		if strings.ContainsAny(value, " \t\n\"=") || value == "" {
			value = strconv.Quote(value)
		}
		fmt.Fprintf(&b, " %s=%s", logline.Visible(key), logline.Visible(value))
	}

	b.WriteString(off)
	return b.String()
}
