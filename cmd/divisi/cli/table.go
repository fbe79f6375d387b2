package cli

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/term"

	"github.com/divisi-go/divisi/internal/control"
)

// stateColors are those of states on a terminal.
var stateColors = map[string]string{
	"ready": green, "running": green, "started": yellow, "starting": yellow, "draining": yellow,
	"stopping": yellow, "backoff": red, "degraded": red, "hung": red, "failed": red,
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

// paint returns a state in its colour.
func (c *command) paint(state string) string {
	first, _, _ := strings.Cut(state, " ")
	if on := stateColors[first]; on != "" && c.outColor {
		return on + state + plain
	}
	return state
}

// columns writes rows with their columns aligned; the first row is the head, and a column of
// states has their colours.
func (c *command) columns(rows [][]string) {
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
				cell = c.paint(cell)
			}
			b.WriteString(cell)
			if i+1 < len(row) {
				b.WriteString(pad)
			}
		}
		fmt.Fprintln(c.out, strings.TrimRight(b.String(), " "))
	}
}

// replicaRows are the rows of a table of replicas.
func replicaRows(replicas []control.ReplicaStatus, now time.Time) [][]string {
	rows := [][]string{{"NAME", "PID", "GROUP", "STATE", "VERSION", "RESTARTS", "AGE", "COMPONENTS"}}
	for _, r := range replicas {
		pid, age := "-", "-"
		if r.Pid != 0 {
			pid, age = fmt.Sprint(r.Pid), ageOf(now.Sub(r.Started))
		}
		state := r.State
		if r.NextStart != nil {
			state += " " + max(0, r.NextStart.Sub(now)).Round(100*time.Millisecond).String()
		}
		rows = append(rows, []string{
			r.Name, pid, r.Group, state, shortVersion(r.Version), fmt.Sprint(r.Restarts), age, strings.Join(r.Components, " "),
		})
	}

	return rows
}

// shortVersion is as much of a version as tells it from others.
func shortVersion(version string) string {
	const enough = 8
	return version[:min(len(version), enough)]
}

// ageOf writes a time that has passed with its two largest units: "5s", "3m7s", "2h5m", "9d3h".
func ageOf(d time.Duration) string {
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
