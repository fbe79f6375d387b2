package run

import (
	"context"
	"fmt"
	"time"

	"github.com/divisi-go/divisi/cmd/divisi/telemetry"
	"github.com/divisi-go/divisi/internal/event"
)

// notice follows what happens: it adds the last words of processes that failed, writes everything to
// the log, hands it on, and ends an application whose start has failed, for the reason that it
// returns. It follows until ctx ends.
func (a *application) notice(ctx context.Context) (failed error) {
	log := event.NewWriter(a.logDir)
	defer log.Close()
	history := newHistory(a.spec.Name)

	_ = a.events.Follow(ctx, func(r event.Record) error {
		if e, ok := r.Event.(event.Exited); ok && e.Last == "" && e.Code > 0 && !e.Asked {
			e.Last = telemetry.LastWords(a.logDir, e.Name, history.started[e.Name])
			r.Event = e
		}
		if err := log.Write(r); err != nil {
			a.told.Add(event.Warning{Text: fmt.Sprintf("the log is not being written: %v", err)})
		}
		a.told.Add(r.Event)

		err := history.add(r)
		if err != nil && failed == nil && !a.ran.Load() && !a.options.Watch {
			failed = err
			go a.deployer.Stop() // which waits for the goroutine that makes events
		}
		return nil
	})

	return failed
}

// history is what has become of groups and processes.
type history struct {
	app     string
	started map[string]time.Time    // by process
	ready   map[string]bool         // groups of which a replica was ready once
	ends    map[string]int          // of processes, by group
	last    map[string]event.Exited // by group
}

func newHistory(app string) *history {
	return &history{app, map[string]time.Time{}, map[string]bool{}, map[string]int{}, map[string]event.Exited{}}
}

// add adds what happened. The error says that a group is given up of which no replica was ever ready.
func (h *history) add(r event.Record) error {
	switch e := r.Event.(type) {
	case event.Started:
		h.started[e.Name] = r.Time
	case event.Ready:
		h.ready[e.Group] = true
	case event.Exited:
		h.ends[e.Group]++
		h.last[e.Group] = e
	case event.Restarting:
		last, ended := h.last[e.Group]
		if !e.Failed || h.ready[e.Group] || !ended {
			return nil
		}
		why := last.Text
		if last.Last != "" {
			why += ": " + last.Last
		}
		return failure(fmt.Sprintf("see all of it: divisi logs %s --tail 50", h.app),
			"%s has failed to start: processes of the group %s ended %d times, and none was ever ready; the last one %s",
			h.app, e.Group, h.ends[e.Group], why)
	}

	return nil
}
