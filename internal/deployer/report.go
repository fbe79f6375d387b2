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
	"github.com/divisi-go/divisi/envelope/metrics"
	"github.com/divisi-go/divisi/envelope/protos"
	"github.com/divisi-go/divisi/internal/control"
	"github.com/divisi-go/divisi/internal/lifecycle"
	"github.com/divisi-go/divisi/internal/name"
)

// Status returns what is known about the application now.
func (d *Deployer) Status() control.Status {
	status := control.Status{App: d.first.Name, Version: d.first.Version, Binary: d.first.Binary,
		Started: d.started, State: "stopped"}
	_ = d.do(context.Background(), func() { status = d.status() })
	return status
}

func (d *Deployer) status() control.Status {
	current := d.sets[len(d.sets)-1]
	status := control.Status{
		App:       current.spec.Name,
		Version:   current.spec.Version,
		Binary:    current.spec.Binary,
		Started:   d.started,
		State:     "running",
		Listeners: slices.Clone(d.listeners),
	}
	for _, c := range current.spec.Components {
		for _, ref := range c.Refs {
			status.Edges = append(status.Edges, control.Edge{From: shortName(c.Name), To: shortName(ref)})
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
			group.Components = append(group.Components, shortName(c))
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

func shortName(component string) string { return name.Component(component).Short() }

func (r *replica) status() control.ReplicaStatus {
	status := control.ReplicaStatus{
		Name:     r.name,
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
		status.Components = append(status.Components, shortName(c))
	}
	if r.life.State == lifecycle.Backoff || r.life.State == lifecycle.Failed {
		next := r.life.Wake
		status.NextStart = &next
	}
	return status
}

// WaitReady waits until every replica of the current version takes calls. Groups start with their
// first use, so it waits for those that are used at the start as well.
func (d *Deployer) WaitReady(ctx context.Context) error {
	return d.waitFor(ctx, func() (bool, error) { return d.sets[len(d.sets)-1].ready(), nil })
}

// waitFor waits for a condition of Serve's goroutine. Conditions change with events, but looking
// ten times a second is simpler than telling everybody who may wait.
func (d *Deployer) waitFor(ctx context.Context, condition func() (bool, error)) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		var met bool
		var err error
		if failed := d.do(ctx, func() { met, err = condition() }); failed != nil {
			return failed
		}
		if met || err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// running returns the conversations with the replicas that have one, by name, and their groups.
func (d *Deployer) conversations(ctx context.Context) (map[string]*envelope.Envelope, map[string]string, error) {
	byName, groups := map[string]*envelope.Envelope{}, map[string]string{}
	err := d.do(ctx, func() {
		for _, s := range d.sets {
			for _, r := range s.replicas {
				if r.env != nil {
					byName[r.name], groups[r.name] = r.env, r.id.Group
				}
			}
		}
	})
	return byName, groups, err
}

// Metrics returns the metrics of all replicas that answer, by the replica's name.
func (d *Deployer) Metrics(ctx context.Context) (map[string][]*metrics.MetricSnapshot, error) {
	envs, _, err := d.conversations(ctx)
	if err != nil {
		return nil, err
	}
	var mu sync.Mutex
	all := map[string][]*metrics.MetricSnapshot{}
	var wait sync.WaitGroup
	for name, env := range envs {
		wait.Go(func() {
			type answer struct {
				snapshots []*metrics.MetricSnapshot
				err       error
			}
			answered := make(chan answer, 1)
			go func() {
				s, err := env.GetMetrics()
				answered <- answer{s, err}
			}()
			select {
			case a := <-answered:
				if a.err == nil {
					mu.Lock()
					all[name] = append([]*metrics.MetricSnapshot{}, a.snapshots...)
					mu.Unlock()
				}
			case <-time.After(2 * time.Second): // a hung replica keeps nobody waiting
			case <-ctx.Done():
			}
		})
	}
	wait.Wait()
	return all, nil
}

// Profile takes profiles of one replica of every group, or of one group, in pprof's format, by
// the replica's name. The kind is "cpu" or "heap".
func (d *Deployer) Profile(ctx context.Context, group, kind string, length time.Duration) (
	map[string][]byte, error) {
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
	envs, groups, err := d.conversations(ctx)
	if err != nil {
		return nil, err
	}
	chosen := map[string]string{} // the first replica of every group
	for name, g := range groups {
		if group == "" || g == group {
			if first, ok := chosen[g]; !ok || name < first {
				chosen[g] = name
			}
		}
	}
	if len(chosen) == 0 {
		return nil, fmt.Errorf("no replica of the group %q runs", cmp.Or(group, "any"))
	}
	type result struct {
		name string
		data []byte
		err  error
	}
	results := make(chan result, len(chosen))
	for _, name := range chosen {
		go func() {
			data, err := envs[name].GetProfile(request)
			results <- result{name, data, err}
		}()
	}
	profiles := map[string][]byte{}
	var failures []error
	for range chosen {
		select {
		case r := <-results:
			if r.err != nil {
				failures = append(failures, fmt.Errorf("%s: %w", r.name, r.err))
				continue
			}
			profiles[r.name] = r.data
		case <-ctx.Done(): // a weavelet goes on, for nobody
			return nil, context.Cause(ctx)
		}
	}
	return profiles, errors.Join(failures...)
}
