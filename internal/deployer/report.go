package deployer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/divisi-go/divisi/envelope"
	deployed "github.com/divisi-go/divisi/envelope/metrics"
	"github.com/divisi-go/divisi/envelope/protos"
	"github.com/divisi-go/divisi/internal/control"
	"github.com/divisi-go/divisi/internal/lifecycle"
	"github.com/divisi-go/divisi/internal/name"
	"github.com/divisi-go/divisi/metrics"
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
			status.Replicas = append(status.Replicas, r.status())
			if s == current && r.life.State == lifecycle.Ready {
				ready[r.id.Group]++
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

func (r *replica) status() control.ReplicaStatus {
	status := control.ReplicaStatus{
		Name:     r.name,
		App:      r.set.spec.Name,
		Pid:      r.pid,
		State:    string(r.life.State),
		Group:    r.id.Group,
		Replica:  r.id.Number,
		Restarts: r.life.Restarts,
		Started:  r.started,
		Version:  r.set.spec.Version,
		Address:  r.address,
		LastExit: r.lastExit,
	}
	for _, c := range r.set.group(r.id.Group).Components {
		status.Components = append(status.Components, name.Short(c))
	}
	if r.life.State == lifecycle.Backoff || r.life.State == lifecycle.Failed {
		next := time.Now().Add(r.life.Wake.Sub(r.set.d.clock.At(time.Now())))
		status.NextStart = &next
	}
	return status
}

// WaitReady waits until every replica of the current version takes calls. Groups start with their
// first use, so it waits for those that are used at the start as well.
func (d *Deployer) WaitReady(ctx context.Context) error {
	return d.waitFor(ctx, func() (bool, error) {
		s := d.current()
		return s != nil && s.ready(), nil
	})
}

// conversation is that with one replica.
type conversation struct {
	name, version, group string
	env                  *envelope.Envelope
}

// conversations returns those with the replicas that have one: of the current version first, and
// ordered by group and number.
func (d *Deployer) conversations(ctx context.Context) ([]conversation, error) {
	var list []conversation
	err := d.do(ctx, func() {
		for _, s := range slices.Backward(d.sets) {
			for _, r := range s.ordered() {
				if r.env != nil {
					list = append(list, conversation{r.name, s.spec.Version, r.id.Group, r.env})
				}
			}
		}
	})
	return list, err
}

// metricsTime bounds the wait for the metrics of a replica: a hung one keeps nobody waiting.
const metricsTime = 2 * time.Second

// Metrics returns the metrics of all replicas that answer.
func (d *Deployer) Metrics(ctx context.Context) ([]control.ReplicaMetrics, error) {
	list, err := d.conversations(ctx)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, metricsTime)
	defer cancel()

	answers := make([][]*deployed.MetricSnapshot, len(list))
	var wait sync.WaitGroup
	for i, c := range list {
		wait.Go(func() {
			if snapshots, err := c.env.Metrics(ctx); err == nil {
				answers[i] = append([]*deployed.MetricSnapshot{}, snapshots...)
			}
		})
	}
	wait.Wait()

	all := []control.ReplicaMetrics{}
	for i, c := range list {
		if answers[i] != nil {
			all = append(all, control.ReplicaMetrics{
				Name: c.name, Version: c.version, Group: c.group, Metrics: shown(answers[i]),
			})
		}
	}
	return all, nil
}

// shown returns metrics as the control API shows them.
func shown(snapshots []*deployed.MetricSnapshot) []control.Metric {
	list := make([]control.Metric, len(snapshots))
	for i, s := range snapshots {
		m := control.Metric{
			Name: s.Name, Type: metrics.Type(s.Type).String(), Help: s.Help, Labels: s.Labels,
			Value: control.Number(s.Value), Counts: s.Counts,
		}
		if m.Labels == nil {
			m.Labels = map[string]string{}
		}
		for _, b := range s.Bounds {
			m.Bounds = append(m.Bounds, control.Number(b))
		}
		list[i] = m
	}
	return list
}

// Profile takes profiles of one replica of every group, or of one group, of the current version.
// The kind is "cpu" or "heap".
func (d *Deployer) Profile(ctx context.Context, group, kind string, length time.Duration) (
	[]control.ReplicaProfile, error) {
	request := &protos.GetProfileRequest{
		ProfileType: protos.ProfileType_CPU, CpuDurationNs: length.Nanoseconds(),
	}
	switch kind {
	case "cpu":
	case "heap":
		request = &protos.GetProfileRequest{ProfileType: protos.ProfileType_Heap}
	default:
		return nil, fmt.Errorf("unknown kind of profile %q: cpu and heap are known", kind)
	}

	list, err := d.conversations(ctx)
	if err != nil {
		return nil, err
	}
	var chosen []conversation // the first replica of every group
	for _, c := range list {
		seen := slices.ContainsFunc(chosen, func(other conversation) bool { return other.group == c.group })
		if !seen && (group == "" || c.group == group) {
			chosen = append(chosen, c)
		}
	}
	if len(chosen) == 0 {
		return nil, fmt.Errorf("no replica of the group %q runs", cmp.Or(group, "any"))
	}
	return profiles(ctx, chosen, request)
}

// profiles takes profiles of replicas at the same time.
func profiles(ctx context.Context, list []conversation, request *protos.GetProfileRequest) (
	[]control.ReplicaProfile, error) {
	taken := make([][]byte, len(list))
	failed := make([]error, len(list))
	var wait sync.WaitGroup
	for i, c := range list {
		wait.Go(func() {
			data, err := c.env.Profile(ctx, request)
			taken[i] = data
			if err != nil {
				failed[i] = fmt.Errorf("%s: %w", c.name, err)
			}
		})
	}
	wait.Wait()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}

	var answers []control.ReplicaProfile
	for i, c := range list {
		if failed[i] == nil {
			answers = append(answers, control.ReplicaProfile{
				Name: c.name, Version: c.version, Group: c.group, Profile: taken[i],
			})
		}
	}
	return answers, errors.Join(failed...)
}
