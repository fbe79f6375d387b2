package place

import (
	"maps"
	"slices"
)

// Hosted is a replica that a deployer before has started, as it says itself.
type Hosted struct {
	Replica Replica
	Address string  // where it takes calls, if somebody was told that it does
	Told    []Route // what it was told last of each component that it uses; To means nothing
}

// Resume returns the placement of an application that runs already, and what is left to do for it: groups
// of which something runs are complete again, and everybody knows what anybody was told. Calls go where
// they went, and keys stay where they are. Replicas take calls, by [State.Takes], if anybody was told that
// they do. Those that the plan does not have are left out.
//
// An application that starts beside another version of it starts the groups of the main component last.
func Resume(plan Plan, hosted []Hosted, beside bool) (*State, []Action) {
	s := NewState(plan)
	taking := map[string]bool{} // addresses that somebody was told of
	for _, h := range hosted {
		for _, route := range h.Told {
			for _, address := range route.Addresses {
				taking[address] = true
			}
			if s.plan.routed(route.Component) && route.Assignment.Version > s.keys[route.Component].Version {
				s.keys[route.Component] = route.Assignment
			}
		}
	}

	runs := map[Replica]bool{}
	for _, h := range hosted {
		if !plan.has(h.Replica) {
			continue
		}
		runs[h.Replica], s.active[h.Replica.Group] = true, true
		if taking[h.Address] {
			s.address[h.Replica] = h.Address
		}
		s.sent[h.Replica] = map[string]*Route{}
		for _, route := range h.Told {
			route.To = h.Replica
			s.sent[h.Replica][route.Component] = &route
		}
	}
	if beside {
		s.hold()
	}
	return s, slices.Concat(s.complete(runs), s.unhold(), s.catchUp())
}

// has reports whether a replica is one of the plan's.
func (p Plan) has(r Replica) bool {
	return slices.ContainsFunc(p.Groups, func(g Group) bool {
		return g.Name == r.Group && r.Number >= 0 && r.Number < g.Replicas
	})
}

// complete starts what the application needs and does not run.
func (s *State) complete(runs map[Replica]bool) (actions []Action) {
	for _, g := range s.plan.Groups {
		for n := range g.Replicas {
			if r := (Replica{g.Name, n}); s.active[g.Name] && !runs[r] {
				actions = append(actions, Start{r})
			}
		}
	}

	actions = append(actions, s.Begin()...)
	for _, r := range s.askers() {
		for _, component := range slices.Sorted(maps.Keys(s.sent[r])) {
			actions = append(actions, s.need(r, component)...)
		}
	}
	return actions
}

// catchUp tells everybody what the deployer before had told some of them only.
func (s *State) catchUp() []Action {
	for c, keys := range s.keys {
		s.keys[c] = keys.Reassign(s.addresses(c), nil)
	}
	return s.reroute(func(string) bool { return true })
}

// Takes reports whether calls go to a replica.
func (s *State) Takes(r Replica) bool {
	_, takes := s.address[r]
	return takes
}
