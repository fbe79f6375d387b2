package deployer

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/divisi-go/divisi/codegen"
	"github.com/divisi-go/divisi/internal/artifact"
	"github.com/divisi-go/divisi/internal/config"
	"github.com/divisi-go/divisi/internal/control"
	"github.com/divisi-go/divisi/internal/lifecycle"
	"github.com/divisi-go/divisi/internal/name"
	"github.com/divisi-go/divisi/internal/place"
)

// Linked says which components are used in a program and are not in it.
func Linked(components []codegen.Info) error {
	var missing []error
	for _, c := range components {
		for _, ref := range c.Refs {
			there := func(other codegen.Info) bool { return other.Name == ref }
			if !slices.ContainsFunc(components, there) {
				missing = append(missing, fmt.Errorf("%s uses the component %s, and nothing in the program implements it",
					c.Name, ref))
			}
		}
	}
	return errors.Join(missing...)
}

// Configure reads the configuration of a program. The name of the file is for messages.
func Configure(components []codegen.Info, file, text string) (config.App, error) {
	known := config.Options{Configured: []string{}}
	for _, c := range components {
		known.Components = append(known.Components, c.Name)
		known.Listeners = append(known.Listeners, c.Listeners...)
		if c.Config {
			known.Configured = append(known.Configured, c.Name)
		}
	}
	return config.Parse(file, text, known)
}

// Digest returns 16 hexadecimal digits that tell specifications apart by what their processes are and do,
// whenever and wherever they were made. What says nothing adds nothing, so that of a record a later divisi,
// which knows more members, makes the same. The error says that the program cannot be read.
func (s Spec) Digest() (string, error) {
	program, err := artifact.Sum(s.Binary)
	if err != nil {
		return "", fmt.Errorf("cannot read the program: %w", err)
	}
	s.Binary = program
	if s.Config.Sections != nil {
		sections := map[string]config.Section{}
		for component, section := range s.Config.Sections {
			sections[component] = config.Section(section.Canonical())
		}
		s.Config.Sections = sections
	}

	// It does not matter which deployment this is, where its files were, and how it comes about.
	s.Version, s.Arg0 = "", ""
	s.Config.File, s.Config.Name, s.Config.Binary = "", "", ""
	s.Config.Ignored, s.Config.Single, s.Config.Rollout, s.Config.Orphan = nil, config.Single{}, 0, ""
	// The program says this itself.
	s.Components = nil

	text, err := json.Marshal(s)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8]), nil
}

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

// Outline returns the status of an application of which nothing runs: what its specification says.
func (s Spec) Outline() control.Status {
	status := control.Status{
		App: s.Name, Domain: name.Domain(s.Name), Version: s.Version, State: "stopped", Binary: s.Binary,
		Listeners: []control.ListenerStatus{}, Groups: []control.GroupStatus{},
		Replicas: []control.ReplicaStatus{}, Edges: []control.Edge{},
	}
	for _, c := range s.Components {
		for _, ref := range c.Refs {
			status.Edges = append(status.Edges, control.Edge{From: name.Short(c.Name), To: name.Short(ref)})
		}
	}

	plan, err := makePlan(s)
	if err != nil {
		return status // it cannot be run
	}
	for _, g := range plan.Groups {
		group := control.GroupStatus{Name: g.Name, Wanted: g.Replicas, Components: []string{}}
		for _, c := range g.Components {
			group.Components = append(group.Components, name.Short(c))
		}
		status.Groups = append(status.Groups, group)
	}
	return status
}
