package upkeep

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/divisi-go/divisi/store/internal/consul/catalog"
	"github.com/divisi-go/divisi/store/internal/consul/index"
	"github.com/divisi-go/divisi/store/internal/consul/state"
)

// due is what may have to end because of what has changed.
type due struct {
	mu       sync.Mutex
	sessions []string      // that were not renewed
	checks   bool          // whether some were not renewed
	lost     bool          // whether a check or node is lost, on which sessions may depend
	noted    chan struct{} // has something when there is something due
}

func newDue() *due {
	// At first everything may be due.
	d := &due{noted: make(chan struct{}, 1), checks: true, lost: true}
	d.noted <- struct{}{}
	return d
}

// note notes what changes may have made due.
func (d *due) note(changes []index.Change) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, c := range changes {
		id, session := strings.CutPrefix(c.Key, "alive/session/")
		switch {
		case session && c.Deleted:
			d.sessions = append(d.sessions, id)
		case strings.HasPrefix(c.Key, "alive/check/") && c.Deleted:
			d.checks = true
		case strings.HasPrefix(c.Key, "check/"), strings.HasPrefix(c.Key, "node/") && c.Deleted:
			d.lost = true
		default:
			continue
		}
		select {
		case d.noted <- struct{}{}:
		default:
		}
	}
}

// take returns what is due, and forgets it.
func (d *due) take() (sessions []string, checks, lost bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	sessions, checks, lost = d.sessions, d.checks, d.lost
	d.sessions, d.checks, d.lost = nil, false, false
	return sessions, checks, lost
}

// again is how often all of it is looked for without a reason.
const again = 30 * time.Second

// expire ends what nobody has renewed, until the context ends. Other servers of the same store do so as well; the first
// one wins.
func (u *Upkeep) expire(ctx context.Context) {
	all := true
	for {
		err := u.endDue(ctx, all)
		if err != nil && ctx.Err() == nil {
			u.Logger.Warn("cannot end what has expired", "error", err)
		}
		select {
		case <-u.due.noted:
			all = false
		case <-time.After(again):
			all = true
		case <-ctx.Done():
			return
		}
	}
}

func (u *Upkeep) endDue(ctx context.Context, all bool) error {
	sessions, checks, lost := u.due.take()
	var failed error
	if all {
		expired, err := u.State.Expired(ctx)
		sessions, failed = append(sessions, expired...), err
	}
	for checks || all {
		found, err := u.Catalog.Expire(ctx)
		failed = errors.Join(failed, err)
		if !found || err != nil {
			break
		}
		lost = true
	}
	if lost || all {
		bereft, err := u.bereft(ctx)
		sessions, failed = append(sessions, bereft...), errors.Join(failed, err)
	}
	for _, id := range sessions {
		_, _, err := u.State.End(ctx, id)
		failed = errors.Join(failed, err)
	}
	return failed
}

// bereft returns the sessions that depend on a node that is gone, or on a check that is gone or critical.
func (u *Upkeep) bereft(ctx context.Context) ([]string, error) {
	sessions, err := u.State.Sessions(ctx, false)
	if err != nil || len(sessions) == 0 {
		return nil, err
	}
	view, err := u.Catalog.Load(ctx, "", false)
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, session := range sessions {
		if Missing(session, view) != "" {
			ids = append(ids, session.ID)
		}
	}
	return ids, nil
}

// Missing says what a session lacks, "" if nothing.
func Missing(session *state.Session, view *catalog.View) string {
	if view.Node(session.Node) == nil {
		return "Missing node registration"
	}
	checks := slices.Clone(session.NodeChecks)
	for _, c := range session.ServiceChecks {
		checks = append(checks, c.ID)
	}
	for _, id := range checks {
		check := view.Check(session.Node, id)
		switch {
		case check == nil:
			return "Missing check '" + id + "' registration"
		case check.Status == catalog.Critical:
			return "Check '" + id + "' is in critical state"
		}
	}
	return ""
}
