// Package logging shows log entries to people.
package logging

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/divisi-go/divisi/envelope/colors"
	"github.com/divisi-go/divisi/internal/logline"
	"github.com/divisi-go/divisi/internal/message"
)

// PrettyPrinter formats log entries as lines of text.
type PrettyPrinter struct{ color bool }

// NewPrettyPrinter returns a printer, which colours its lines if color is set.
func NewPrettyPrinter(color bool) *PrettyPrinter { return &PrettyPrinter{color} }

// letters mark levels; others are marked by their first letter.
var letters = map[string]string{"stdout": "S", "stderr": "S"}

// Format returns an entry as one line: level and time, weavelet, component, place in the source,
// message, and attributes as key=value. What could control a terminal is shown, not sent.
func (p *PrettyPrinter) Format(e *message.LogEntry) string {
	var b strings.Builder
	letter := letters[e.Level]
	if letter == "" {
		letter = logline.Visible(strings.ToUpper(fmt.Sprintf("%.1s", e.Level)))
	}
	on, off := p.colors(e.Level)
	fmt.Fprintf(&b, "%s%s%s%s %.8s", on, letter,
		time.UnixMicro(e.TimeMicros).Format("0102 15:04:05.000000"), off, logline.Visible(e.Node))
	if e.Component != "" {
		fmt.Fprintf(&b, " %s", logline.Visible(e.Component[strings.LastIndexByte(e.Component, '/')+1:]))
	}
	if e.File != "" {
		fmt.Fprintf(&b, " %s:%d", logline.Visible(e.File[strings.LastIndexByte(e.File, '/')+1:]), e.Line)
	}
	fmt.Fprintf(&b, "] %s", logline.Visible(e.Msg))
	for i := 0; i+1 < len(e.Attrs); i += 2 {
		value := e.Attrs[i+1]
		if strings.ContainsAny(value, " \t\n\"=") {
			value = strconv.Quote(value)
		}
		fmt.Fprintf(&b, " %s=%s", logline.Visible(e.Attrs[i]), logline.Visible(value))
	}
	return b.String()
}

func (p *PrettyPrinter) colors(level string) (on, off string) {
	if !p.color {
		return "", ""
	}
	switch strings.ToLower(level) {
	case "error":
		return colors.Red, colors.Reset
	case "warn":
		return colors.Yellow, colors.Reset
	case "debug":
		return colors.Dim, colors.Reset
	}
	return colors.Cyan, colors.Reset
}
