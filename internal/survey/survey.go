// Package survey asks all replicas of an application the same question at the same time, and has their
// answers in the form of the control API.
package survey

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
	"github.com/divisi-go/divisi/metrics"
)

// Replica is one that can be asked.
type Replica struct {
	Name, Version, Group string
	Conversation         *envelope.Envelope
}

// metricsTime bounds the wait for the metrics of a replica: a hung one keeps nobody waiting.
const metricsTime = 2 * time.Second

// Metrics returns the metrics of the replicas that answer.
func Metrics(ctx context.Context, replicas []Replica) []control.ReplicaMetrics {
	ctx, cancel := context.WithTimeout(ctx, metricsTime)
	defer cancel()

	answers := make([][]*deployed.MetricSnapshot, len(replicas))
	var wait sync.WaitGroup
	for i, r := range replicas {
		wait.Go(func() {
			if snapshots, err := r.Conversation.Metrics(ctx); err == nil {
				answers[i] = append([]*deployed.MetricSnapshot{}, snapshots...)
			}
		})
	}
	wait.Wait()

	all := []control.ReplicaMetrics{}
	for i, r := range replicas {
		if answers[i] != nil {
			all = append(all, control.ReplicaMetrics{
				Name: r.Name, Version: r.Version, Group: r.Group, Metrics: shown(answers[i]),
			})
		}
	}
	return all
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

// Profiles takes profiles of the first replica of every group, or of one group. The kind is "cpu",
// over a length of time, or "heap".
func Profiles(ctx context.Context, replicas []Replica, group, kind string, length time.Duration) (
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

	var chosen []Replica
	for _, r := range replicas {
		seen := slices.ContainsFunc(chosen, func(other Replica) bool { return other.Group == r.Group })
		if !seen && (group == "" || r.Group == group) {
			chosen = append(chosen, r)
		}
	}
	if len(chosen) == 0 {
		return nil, fmt.Errorf("no replica of the group %q runs", cmp.Or(group, "any"))
	}
	return profiles(ctx, chosen, request)
}

// profiles takes profiles of replicas at the same time.
func profiles(ctx context.Context, replicas []Replica, request *protos.GetProfileRequest) (
	[]control.ReplicaProfile, error) {
	taken := make([][]byte, len(replicas))
	failed := make([]error, len(replicas))
	var wait sync.WaitGroup
	for i, r := range replicas {
		wait.Go(func() {
			data, err := r.Conversation.Profile(ctx, request)
			taken[i] = data
			if err != nil {
				failed[i] = fmt.Errorf("%s: %w", r.Name, err)
			}
		})
	}
	wait.Wait()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}

	var answers []control.ReplicaProfile
	for i, r := range replicas {
		if failed[i] == nil {
			answers = append(answers, control.ReplicaProfile{
				Name: r.Name, Version: r.Version, Group: r.Group, Profile: taken[i],
			})
		}
	}
	return answers, errors.Join(failed...)
}
