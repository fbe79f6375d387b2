package place

import (
	"maps"
	"slices"
)

// Replica names one process of a group.
type Replica struct {
	Group  string
	Number int // from 0
}

// Action is something for the deployer to do: one of Start and Route.
type Action interface{ action() }

// Start wants a replica to run, and to be kept running.
type Start struct{ Replica Replica }

// Route tells a replica where a component is.
type Route struct {
	To        Replica
	Component string
	Local     bool     // in the replica itself
	Addresses []string // else there, sorted

	// Assignment is that of the keys of a routed component, which has no version while no replica
	// of it takes calls. It is not to be changed.
	Assignment Assignment
}

func (Start) action() {}
func (Route) action() {}

// State is the placement of a running application. Its methods are its events: each returns what
// there is to do. It is not safe for concurrent use.
type State struct {
	plan    Plan
	active  map[string]bool               // groups that were started
	held    map[string]bool               // groups that start when what they need takes calls
	address map[Replica]string            // of replicas that take calls
	sent    map[Replica]map[string]*Route // what each replica that asked was last told
	keys    map[string]Assignment         // of routed components
	loads   map[string][]Load             // of routed components, the last known
}

// NewState returns the placement before anything runs.
func NewState(plan Plan) *State {
	return &State{
		plan:    plan,
		active:  map[string]bool{},
		held:    map[string]bool{},
		address: map[Replica]string{},
		sent:    map[Replica]map[string]*Route{},
		keys:    map[string]Assignment{},
		loads:   map[string][]Load{},
	}
}

// hold has the groups of the main component start once all replicas of the groups that they need take calls: beside
// another version, requests on the same sockets come to the main component as soon as it serves, and are lost if
// nothing else of its version can be called.
func (s *State) hold() {
	for _, name := range s.plan.MainGroups() {
		if !s.active[name] {
			s.held[name] = true
		}
	}
}

// unhold starts what groups that are held need, and those that lack nothing of it any more.
func (s *State) unhold() (actions []Action) {
	for _, g := range s.plan.Groups {
		if !s.held[g.Name] {
			continue
		}
		needs := s.plan.needs(g.Name)
		for _, need := range needs {
			actions = append(actions, s.start(need)...)
		}
		if !slices.ContainsFunc(needs, s.lacks) {
			delete(s.held, g.Name)
			actions = append(actions, s.start(g)...)
		}
	}
	return actions
}

// lacks reports whether a replica of a group takes no calls.
func (s *State) lacks(g Group) bool {
	for n := range g.Replicas {
		if !s.Takes(Replica{g.Name, n}) {
			return true
		}
	}
	return false
}

// Holds reports whether a group is yet to start because what it needs takes no calls.
func (s *State) Holds() bool { return len(s.held) > 0 }

// Begin starts the groups of the main component, and of those that always run.
func (s *State) Begin() []Action {
	var actions []Action
	for _, g := range s.plan.Groups {
		if slices.ContainsFunc(g.Components, func(name string) bool {
			c := s.plan.components[name]
			return c.Main || c.Always
		}) {
			actions = append(actions, s.start(g)...)
		}
	}
	return actions
}

func (s *State) start(g Group) []Action {
	if s.active[g.Name] || s.held[g.Name] {
		return nil
	}
	s.active[g.Name] = true
	var actions []Action
	for n := range g.Replicas {
		actions = append(actions, Start{Replica{g.Name, n}})
	}
	return actions
}

// Activate is called when a replica needs a component. Unless it has the component itself, the
// groups with the component are started.
func (s *State) Activate(r Replica, component string) []Action {
	actions := s.need(r, component)
	if s.sent[r] == nil {
		s.sent[r] = map[string]*Route{}
	}
	if s.sent[r][component] == nil {
		route := s.route(r, component)
		s.sent[r][component] = &route
	}
	// Asked again, it has perhaps not heard.
	return append(actions, *s.sent[r][component])
}

// need starts the groups with a component, unless the replica that needs it has it itself.
func (s *State) need(r Replica, component string) (actions []Action) {
	if s.plan.Hosts(r.Group, component) {
		return nil
	}
	for _, g := range s.plan.hosting(component) {
		actions = append(actions, s.start(g)...)
	}
	return actions
}

// Up is called when a replica takes calls at an address.
func (s *State) Up(r Replica, address string) []Action {
	s.address[r] = address
	return append(s.reassign(r.Group), s.unhold()...)
}

// Down is called when a replica takes no more calls; it may go on making some.
func (s *State) Down(r Replica) []Action {
	if _, ok := s.address[r]; !ok {
		return nil
	}
	delete(s.address, r)
	return s.reassign(r.Group)
}

// Gone is called when the process of a replica has ended: it takes no calls and asked for nothing.
func (s *State) Gone(r Replica) []Action {
	delete(s.sent, r)
	return s.Down(r)
}

// Load is called with what all replicas of a routed component were asked for in the last while.
func (s *State) Load(component string, loads []Load) []Action {
	if !s.plan.routed(component) {
		return nil
	}
	s.loads[component] = loads
	s.keys[component] = s.keys[component].Rebalance(loads)
	return s.reroute(func(c string) bool { return c == component })
}

// reassign is called when the replicas of a group have changed.
func (s *State) reassign(group string) []Action {
	for _, g := range s.plan.Groups {
		if g.Name != group {
			continue
		}
		for _, c := range g.Components {
			if s.plan.routed(c) {
				s.keys[c] = s.keys[c].Reassign(s.addresses(c), s.loads[c])
			}
		}
	}
	return s.reroute(func(component string) bool { return s.plan.Hosts(group, component) })
}

// reroute tells everybody who uses a component that has changed what is new.
func (s *State) reroute(changed func(component string) bool) []Action {
	var actions []Action
	for _, r := range s.askers() {
		for _, component := range slices.Sorted(maps.Keys(s.sent[r])) {
			if !changed(component) {
				continue
			}
			route, last := s.route(r, component), s.sent[r][component]
			if route.Local == last.Local && slices.Equal(route.Addresses, last.Addresses) &&
				route.Assignment.Version == last.Assignment.Version {
				continue
			}
			s.sent[r][component] = &route
			actions = append(actions, route)
		}
	}
	return actions
}

func (s *State) askers() []Replica {
	return slices.SortedFunc(maps.Keys(s.sent), compare)
}

func compare(a, b Replica) int {
	if a.Group != b.Group {
		if a.Group < b.Group {
			return -1
		}
		return 1
	}
	return a.Number - b.Number
}

// route returns where a component is for a replica.
func (s *State) route(r Replica, component string) Route {
	route := Route{To: r, Component: component}
	if s.plan.Hosts(r.Group, component) {
		route.Local = true
		return route
	}
	route.Addresses = s.addresses(component)
	route.Assignment = s.keys[component]
	return route
}

// addresses returns where a component takes calls, sorted.
func (s *State) addresses(component string) []string {
	var list []string
	for replica, address := range s.address {
		if s.plan.Hosts(replica.Group, component) {
			list = append(list, address)
		}
	}
	slices.Sort(list)
	return list
}
