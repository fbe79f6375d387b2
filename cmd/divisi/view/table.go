package view

import (
	"fmt"
	"strings"
	"time"

	"github.com/divisi-go/divisi/cmd/divisi/console"
	"github.com/divisi-go/divisi/internal/control"
)

// Rows are the rows of a table of replicas.
func Rows(replicas []control.ReplicaStatus, now time.Time) [][]string {
	rows := [][]string{{"NAME", "PID", "GROUP", "STATE", "VERSION", "RESTARTS", "AGE", "COMPONENTS"}}
	for _, r := range replicas {
		pid, age := "-", "-"
		if r.Pid != 0 {
			pid, age = fmt.Sprint(r.Pid), console.Age(now.Sub(r.Started))
		}
		state := r.State
		if short, _, _ := strings.Cut(r.Failing, ":"); short != "" {
			state += " (" + short + ")"
		}
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
