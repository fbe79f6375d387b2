package deployer

import (
	"context"
	"slices"
	"time"

	"github.com/divisi-go/divisi/envelope"
	"github.com/divisi-go/divisi/envelope/protos"
	"github.com/divisi-go/divisi/internal/place"
)

// loadEvery is how often the load of routed components is asked for. Keys move by small steps, so
// what is uneven takes some of these to become even.
const loadEvery = 5 * time.Second

// loadTime is how long an answer may take.
const loadTime = time.Second

// routingInfo is a route as weavelets are told of it.
func routingInfo(a place.Route) *protos.RoutingInfo {
	info := &protos.RoutingInfo{Component: a.Component, Local: a.Local, Replicas: a.Addresses}
	if !a.Local && a.Assignment.Version > 0 && len(a.Addresses) > 0 {
		info.Assignment = &protos.Assignment{Version: a.Assignment.Version}
		for _, s := range a.Assignment.Slices {
			info.Assignment.Slices = append(info.Assignment.Slices,
				&protos.Assignment_Slice{Start: s.Start, Replicas: []string{s.Replica}})
		}
	}
	return info
}

// routeOf is the route that a weavelet was told.
func routeOf(info *protos.RoutingInfo) place.Route {
	route := place.Route{Component: info.Component, Local: info.Local, Addresses: slices.Clone(info.Replicas)}
	slices.Sort(route.Addresses)
	if info.Assignment != nil {
		route.Assignment.Version = info.Assignment.Version
		for _, s := range info.Assignment.Slices {
			if len(s.Replicas) > 0 {
				route.Assignment.Slices = append(route.Assignment.Slices, place.Slice{Start: s.Start, Replica: s.Replicas[0]})
			}
		}
	}
	return route
}

// balance asks for the load of routed components now and then, and moves keys, until ctx ends.
func (d *Deployer) balance(ctx context.Context, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		var s *set
		var envs []*envelope.Envelope
		if d.do(ctx, func() {
			if s = d.current(); s == nil {
				return
			}
			if slices.ContainsFunc(s.spec.Components, routed) {
				for _, r := range s.ordered() {
					if r.Conversation() != nil {
						envs = append(envs, r.Conversation())
					}
				}
			}
		}) != nil {
			return
		}
		loads := gather(ctx, envs)
		_ = d.do(ctx, func() {
			for component, l := range loads {
				s.perform(s.placement.Load(component, l))
			}
		})
	}
}

// gather returns what weavelets say about the load of routed components. One that does not answer
// is left out.
func gather(ctx context.Context, envs []*envelope.Envelope) map[string][]place.Load {
	answers := make(chan *protos.LoadReport, len(envs))
	for _, env := range envs {
		go func() {
			report, err := env.GetLoad()
			if err != nil {
				report = nil
			}
			answers <- report
		}()
	}
	late := time.After(loadTime)
	loads := map[string][]place.Load{}
	for range envs {
		select {
		case report := <-answers:
			if report == nil {
				continue
			}
			for component, load := range report.Loads {
				for _, s := range load.Load {
					loads[component] = append(loads[component],
						place.Load{Start: s.Start, End: s.End, Rate: s.Load})
				}
			}
		case <-late:
			return loads
		case <-ctx.Done():
			return loads
		}
	}
	return loads
}
