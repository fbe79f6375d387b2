package console

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/term"
)

// stateColors are those of states on a terminal.
var stateColors = map[string]string{
	"ready": green, "running": green, "started": yellow, "starting": yellow, "draining": yellow,
	"stopping": yellow, "backoff": red, "degraded": red, "hung": red, "failed": red, "not": red, // running
}

const (
	green  = "\x1b[32m"
	yellow = "\x1b[33m"
	red    = "\x1b[31m"
	plain  = "\x1b[0m"
)

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// Paint returns a state in its colour.
func (c *Console) Paint(state string) string {
	first, _, _ := strings.Cut(state, " ")
	if on := stateColors[first]; on != "" && c.OutColor {
		return on + state + plain
	}
	return state
}

// Columns writes rows with their columns aligned; the first row is the head, and a column of
// states has their colours.
func (c *Console) Columns(rows [][]string) {
	width := map[int]int{}
	for _, row := range rows {
		for i, cell := range row {
			width[i] = max(width[i], utf8.RuneCountInString(cell))
		}
	}

	for n, row := range rows {
		var b strings.Builder
		for i, cell := range row {
			pad := strings.Repeat(" ", width[i]-utf8.RuneCountInString(cell)+2)
			if n > 0 && i < len(rows[0]) && rows[0][i] == "STATE" {
				cell = c.Paint(cell)
			}
			b.WriteString(cell)
			if i+1 < len(row) {
				b.WriteString(pad)
			}
		}
		fmt.Fprintln(c.Out, strings.TrimRight(b.String(), " "))
	}
}

// Age writes a time that has passed with its two largest units: "5s", "3m7s", "2h5m", "9d3h".
func Age(d time.Duration) string {
	const day = 24 * time.Hour
	d = max(0, d).Round(time.Second)
	switch {
	case d < time.Hour:
		return d.String()
	case d < day:
		return fmt.Sprintf("%dh%dm", d/time.Hour, d%time.Hour/time.Minute)
	default:
		return fmt.Sprintf("%dd%dh", d/day, d%day/time.Hour)
	}
}
