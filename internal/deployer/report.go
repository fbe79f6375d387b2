package deployer

import (
	"context"
	"slices"
	"time"

	"github.com/divisi-go/divisi/internal/control"
	"github.com/divisi-go/divisi/internal/lifecycle"
	"github.com/divisi-go/divisi/internal/name"
	"github.com/divisi-go/divisi/internal/survey"
)

// Status returns what is known about the application now.
func (d *Deployer) Status() control.Status {
	status := d.outline(d.first, "stopped")
	_ = d.do(context.Background(), func() { status = d.status() })
	return status
}

// outline is the status of a version, but for what runs.
func (d *Deployer) outline(spec Spec, state string) control.Status {
	status := spec.Outline()
	status.State, status.Started = state, d.started
	return status
}

func (d *Deployer) status() control.Status {
	current := d.current()
	if current == nil {
		return d.outline(d.first, "starting")
	}
	status := d.outline(current.spec, "running")
	status.Listeners = append(status.Listeners, d.listeners...)
	ready := map[string]int{}
	for _, s := range slices.Backward(d.sets) {
		for _, r := range s.ordered() {
			one := r.Status()
			for _, c := range r.Components {
				one.Components = append(one.Components, name.Short(c))
			}
			status.Replicas = append(status.Replicas, one)
			if s == current && r.State() == lifecycle.Ready {
				ready[r.ID.Group]++
			}
		}
	}
	for i, g := range status.Groups {
		status.Groups[i].Ready = ready[g.Name]
	}
	switch {
	case d.stopping:
		status.State = "stopping"
	case !current.ready():
		status.State = "starting"
		for _, r := range status.Replicas {
			if r.Restarts > 0 || r.LastExit != nil {
				status.State = "degraded"
			}
		}
	}
	return status
}

// WaitReady waits until every replica of the current version takes calls. Groups start with their
// first use, so it waits for those that are used at the start as well.
func (d *Deployer) WaitReady(ctx context.Context) error {
	return d.waitFor(ctx, func() (bool, error) {
		s := d.current()
		return d.prepared && s != nil && s.ready(), nil
	})
}

// Metrics returns the metrics of all replicas that answer.
func (d *Deployer) Metrics(ctx context.Context) ([]control.ReplicaMetrics, error) {
	replicas, err := d.conversations(ctx)
	if err != nil {
		return nil, err
	}
	return survey.Metrics(ctx, replicas), nil
}

// Profile takes profiles of one replica of every group, or of one group, of the current version.
// The kind is "cpu" or "heap".
func (d *Deployer) Profile(ctx context.Context, group, kind string, length time.Duration) (
	[]control.ReplicaProfile, error) {
	replicas, err := d.conversations(ctx)
	if err != nil {
		return nil, err
	}
	return survey.Profiles(ctx, replicas, group, kind, length)
}

// conversations returns the replicas that have one: of the current version first, and ordered by group
// and number. During a takeover it waits until they may.
func (d *Deployer) conversations(ctx context.Context) ([]survey.Replica, error) {
	waits, cancel := context.WithTimeout(ctx, 2*dialTime)
	defer cancel()
	_ = d.waitFor(waits, func() (bool, error) { return d.known || d.stopping, nil }) // else there are none yet

	var list []survey.Replica
	err := d.do(ctx, func() {
		for _, s := range slices.Backward(d.sets) {
			for _, r := range s.ordered() {
				if r.Conversation() != nil {
					list = append(list, survey.Replica{
						Name: r.Name, Version: s.spec.Version, Group: r.ID.Group, Conversation: r.Conversation(),
					})
				}
			}
		}
	})
	return list, err
}
