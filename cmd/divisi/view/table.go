package view

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/divisi-go/divisi/cmd/divisi/console"
	"github.com/divisi-go/divisi/internal/control"
	"github.com/divisi-go/divisi/internal/lifecycle"
)

// Rows are the rows of a table of replicas.
func Rows(replicas []control.ReplicaStatus, now time.Time) [][]string {
	elsewhere := slices.ContainsFunc(replicas, control.ReplicaStatus.Elsewhere)
	rows := [][]string{{"NAME", "PID", "GROUP", "STATE", "VERSION", "RESTARTS", "AGE", "COMPONENTS"}}
	if elsewhere {
		rows[0] = slices.Insert(rows[0], 1, "HOST")
	}
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
		row := []string{
			r.Name, pid, r.Group, state, shortVersion(r.Version), fmt.Sprint(r.Restarts), age, strings.Join(r.Components, " "),
		}
		if elsewhere {
			row = slices.Insert(row, 1, cmp.Or(r.Host, control.Local))
		}
		rows = append(rows, row)
	}

	return rows
}

// Groups are the rows of a table of groups.
func Groups(groups []control.GroupStatus) [][]string {
	rows := [][]string{{"GROUP", "READY", "COMPONENTS"}}
	for _, g := range groups {
		rows = append(rows, []string{
			g.Name, fmt.Sprintf("%d/%d", g.Ready, g.Wanted), strings.Join(g.Components, " "),
		})
	}
	return rows
}

// Members are the rows of a table of what is in a program. What is in a scope follows it, and is indented.
func Members(members []control.Member, now time.Time) [][]string {
	elsewhere := slices.ContainsFunc(members, func(m control.Member) bool { return m.Host != "" && m.Host != control.Local })
	rows := [][]string{{"MEMBER", "KIND", "STATE", "RESTARTS", "AGE", "FAILURE"}}
	if elsewhere {
		rows[0] = slices.Insert(rows[0], 1, "HOST")
	}
	for _, m := range members {
		depth := strings.Count(strings.TrimPrefix(m.Path, members[0].Path), "/")
		state, failure := m.Is(), ""
		if m.State != string(lifecycle.Ready) {
			failure, _, _ = strings.Cut(m.Failure, "\n")
		}
		if m.Next != nil {
			state += " " + max(0, m.Next.Sub(now)).Round(100*time.Millisecond).String()
		}
		row := []string{
			strings.Repeat("  ", depth) + path.Base(m.Path), m.Kind, state, fmt.Sprint(m.Restarts),
			console.Age(now.Sub(m.Since)), failure,
		}
		if elsewhere {
			row = slices.Insert(row, 1, cmp.Or(m.Host, "-"))
		}
		rows = append(rows, row)
	}
	return rows
}

// shortVersion is as much of a version as tells it from others.
func shortVersion(version string) string {
	const enough = 8
	return version[:min(len(version), enough)]
}
