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
	status := d.emptyStatus(d.first, "stopped")
	_ = d.do(context.Background(), func() { status = d.status() })
	return status
}

func (d *Deployer) emptyStatus(spec Spec, state string) control.Status {
	return control.Status{
		App:       spec.Name,
		Domain:    name.Domain(spec.Name),
		Version:   spec.Version,
		State:     state,
		Binary:    spec.Binary,
		Started:   d.started,
		Listeners: []control.ListenerStatus{},
		Groups:    []control.GroupStatus{},
		Replicas:  []control.ReplicaStatus{},
		Edges:     []control.Edge{},
	}
}

func (d *Deployer) status() control.Status {
	current := d.current()
	if current == nil {
		return d.emptyStatus(d.first, "starting")
	}
	status := d.emptyStatus(current.spec, "running")
	status.Listeners = append(status.Listeners, d.listeners...)
	for _, c := range current.spec.Components {
		for _, ref := range c.Refs {
			status.Edges = append(status.Edges, control.Edge{From: name.Short(c.Name), To: name.Short(ref)})
		}
	}
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
	for _, g := range current.plan.Groups {
		group := control.GroupStatus{Name: g.Name, Wanted: g.Replicas, Ready: ready[g.Name]}
		for _, c := range g.Components {
			group.Components = append(group.Components, name.Short(c))
		}
		status.Groups = append(status.Groups, group)
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
// and number.
func (d *Deployer) conversations(ctx context.Context) ([]survey.Replica, error) {
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
