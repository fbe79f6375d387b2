// Package view shows on a terminal what an application does that is run or followed there.
package view

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/divisi-go/divisi/cmd/divisi/console"
	"github.com/divisi-go/divisi/cmd/divisi/telemetry"
	"github.com/divisi-go/divisi/internal/control"
	"github.com/divisi-go/divisi/internal/event"
)

// View shows on a terminal what a running application does.
type View struct {
	*console.Console
	Detach   bool // what runs is left running at once
	Attached bool // what runs is left running in the end

	mu   sync.Mutex         // guards ends
	ends map[string]*ending // what was said of how processes end, by group
}

// ending is a way in which the processes of a group end, again and again.
type ending struct {
	text  string
	count int
	since time.Time
}

// Building says that a package is being built, until done is called.
func (v *View) Building(pkg string) (done func(error)) {
	p := v.Progress("building " + pkg)
	return func(err error) {
		took := p.End()
		if err == nil {
			fmt.Fprintf(v.Err, "built %s in %v\n", pkg, took.Round(100*time.Millisecond))
		}
	}
}

// Warn says what else is to be known.
func (v *View) Warn(text string) { fmt.Fprintf(v.Err, "divisi: warning: %s\n", text) }

// Note says what goes on.
func (v *View) Note(text string) { fmt.Fprintln(v.Err, text) }

// Fail shows an error that ends nothing.
func (v *View) Fail(err error) { v.Explain(err) }

// Serving says where the application listens.
func (v *View) Serving(listeners []control.ListenerStatus) {
	if v.Format == "json" {
		return
	}
	for _, l := range listeners {
		if len(listeners) == 1 {
			fmt.Fprintln(v.Out, l.URL)
		} else {
			fmt.Fprintf(v.Out, "%s (%s)\n", l.URL, l.Name)
		}
	}
}

// Running says what runs, or with an error that not everything is ready.
func (v *View) Running(s control.Status, livePage string, late error) {
	if late != nil {
		v.Warn(fmt.Sprintf("%v: see divisi status %s", late, s.App))
	}
	if done, _ := v.JSON(s); done {
		return
	}

	fmt.Fprintln(v.Out)
	v.Columns(Rows(s.Replicas, time.Now()))
	text := summary(s, livePage)
	switch {
	case v.Detach:
		text += fmt.Sprintf(", also without this command. What next:\n\n"+
			"  divisi attach %[1]s   # decide about it from a terminal\n"+
			"  divisi logs %[1]s -f  # what it says\n"+
			"  divisi stop %[1]s     # drain and stop it", s.App)
	case v.Attached:
		text += " (Ctrl-C leaves them running)"
	default:
		text += " (Ctrl-C drains and stops them)"
	}
	fmt.Fprintf(v.Out, "\n%s\n", text)
}

// summary says in a line what runs.
func summary(s control.Status, livePage string) string {
	ready, wanted, most := 0, 0, 0
	for _, g := range s.Groups {
		ready += g.Ready
		wanted += g.Wanted
		most = max(most, g.Wanted)
	}

	if s.IsProgram() {
		text := fmt.Sprintf("%s is %s: %s", s.App, s.State, several(len(s.Replicas), "server", "servers"))
		return text + livePageText(livePage)
	}

	processes, groups := several(len(s.Replicas), "process", "processes"), several(len(s.Groups), "group", "groups")
	text := fmt.Sprintf("%s runs as %s in %s", s.App, processes, groups)
	if ready < wanted && s.State != "running" {
		text = fmt.Sprintf("%s: %d of %d processes in %s are ready", s.App, ready, wanted, groups)
	} else if most > 1 {
		text += fmt.Sprintf(", up to %d replicas of each (--replicas 1 for one)", most)
	}

	return text + livePageText(livePage)
}

// livePageText is the end of a line that says what runs.
func livePageText(address string) string {
	if address == "" {
		return ""
	}
	return ", live page " + address
}

func several(n int, one, many string) string {
	if n == 1 {
		many = one
	}
	return fmt.Sprint(n, " ", many)
}

// Entry shows an entry of the log.
func (v *View) Entry(e telemetry.Entry) error {
	v.Screen.Wait(v.ErrFile, e.Format(v.ErrColor)+"\n")
	return nil
}

// Event shows what an operator should notice, and what happens again and
// again only with its count.
func (v *View) Event(r event.Record) {
	v.mu.Lock()
	defer v.mu.Unlock()

	text := console.Visible(r.Event.String())
	switch e := r.Event.(type) {
	case event.Started, event.Listening, event.Ready, event.Draining, event.Stopped:
		return
	case event.Exited:
		if e.Asked && e.Signal != "killed" || v.again(r.Time, e) {
			return
		}
	case event.Restarting:
		before := v.ends[e.Group]
		switch {
		case e.Failed && before != nil && before.count > 1:
			text += fmt.Sprintf("; processes of the group ended %d times in %v, each time it %s", before.count,
				r.Time.Sub(before.since).Round(time.Second), before.text)
		case before != nil && before.count > 1:
			return
		}
	}

	fmt.Fprintf(v.Err, "%s %s\n", r.Time.Format(time.TimeOnly), text)
}

// again notes how a process has ended, and reports whether one of its group has ended like that
// before.
func (v *View) again(at time.Time, e event.Exited) bool {
	text := strings.TrimSuffix(e.Text+": "+e.Last, ": ")
	before := v.ends[e.Group]
	if before != nil && before.text == text {
		before.count++
		return true
	}

	if v.ends == nil {
		v.ends = map[string]*ending{}
	}
	v.ends[e.Group] = &ending{text, 1, at}
	return false
}
