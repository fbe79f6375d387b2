package deployer

import (
	"fmt"
	"maps"
	"net"
	"slices"

	"github.com/divisi-go/divisi/internal/lifecycle"
	"github.com/divisi-go/divisi/internal/place"
)

// makePlan returns the groups of an application.
func makePlan(spec Spec) (place.Plan, error) {
	var components []place.Component
	for _, c := range spec.Components {
		components = append(components, place.Component{
			Name: c.Name, Refs: c.Refs, Listeners: c.Listeners,
			Routed: c.Routed, Singleton: c.Singleton, Always: c.Always, Main: c.Main,
		})
	}
	if !slices.ContainsFunc(components, func(c place.Component) bool { return c.Main }) {
		return place.Plan{}, fmt.Errorf("%s has no main component: is it an application, "+
			"and was divisi generate run before it was built?", spec.Binary)
	}
	var groups []place.Group
	for _, g := range spec.Config.Groups {
		groups = append(groups, place.Group{
			Name: g.Name, Components: g.Components, Replicas: g.Replicas,
		})
	}
	replicas := map[string]int{"": spec.Config.Replicas}
	maps.Copy(replicas, spec.Replicas)
	return place.NewPlan(components, groups, replicas)
}

// policy returns how the replicas of a group are supervised.
func policy(spec Spec, group string) lifecycle.Policy {
	r, t := spec.Config.Restart, spec.Config.Times
	for _, g := range spec.Config.Groups {
		if g.Name == group {
			r, t = g.Restart, g.Times
		}
	}

	return lifecycle.Policy{
		Restart:    lifecycle.Restart(r.Policy),
		Intensity:  r.Intensity,
		Window:     r.Window,
		Backoff:    r.Backoff,
		MaxBackoff: r.MaxBackoff,
		StartTime:  t.Start,
		HungTime:   t.Hung,
		DrainTime:  t.Drain,
		StopTime:   t.Stop,
	}
}

// pageURL returns the address of a listener as a browser on this machine takes it.
func pageURL(address string) string {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return "http://" + net.JoinHostPort(host, port)
}
