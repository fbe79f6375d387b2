package deployer

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/divisi-go/divisi/codegen"
	"github.com/divisi-go/divisi/internal/lifecycle"
	"github.com/divisi-go/divisi/internal/name"
	"github.com/divisi-go/divisi/internal/place"
)

// set is the replicas of one version. It belongs to the goroutine of Deployer.Serve.
type set struct {
	version
	d         *Deployer
	placement *place.State
	replicas  map[place.Replica]*replica
	before    *set            // whose singletons must end before those of this set start
	held      []place.Replica // singletons that wait for that
	stopping  bool
}

func (d *Deployer) newSet(v version) *set {
	return &set{
		version: v, d: d,
		placement: place.NewState(v.plan), replicas: map[place.Replica]*replica{},
	}
}

func (s *set) begin() { s.perform(s.placement.Begin()) }

// perform does what the placement says.
func (s *set) perform(actions []place.Action) {
	for _, a := range actions {
		switch a := a.(type) {
		case place.Start:
			s.start(a.Replica)
		case place.Route:
			if r, ok := s.replicas[a.To]; ok && r.attempt != nil {
				r.attempt.routes.put(routingInfo(a))
			}
		default:
			panic(fmt.Sprintf("deployer: unknown action %T", a))
		}
	}
}

// start begins to supervise a replica.
func (s *set) start(id place.Replica) {
	if s.before != nil && s.singleton(id.Group) {
		s.held = append(s.held, id)
		return
	}
	server := name.Replica(s.spec.Name, id.Group, id.Number)
	r := &replica{
		set: s, id: id, name: server.String(), short: server.Name,
		life: lifecycle.Process{Policy: policy(s.spec, id.Group), Rand: rand.Float64},
	}
	s.replicas[id] = r
	r.step(lifecycle.Start)
}

// release starts the singletons that waited for the version before.
func (s *set) release() {
	s.before = nil
	held := s.held
	s.held = nil
	for _, id := range held {
		s.start(id)
	}
}

func (s *set) singleton(group string) bool {
	return slices.ContainsFunc(s.spec.Components, func(c codegen.Info) bool {
		return c.Singleton && s.plan.Hosts(group, c.Name)
	})
}

// stop drains the groups from the outermost inward; it is called again whenever something has
// changed.
func (s *set) stop() {
	s.stopping = true
	for _, group := range s.plan.StopOrder() {
		busy := false
		for _, r := range s.ordered() {
			if r.id.Group == group && r.life.State != lifecycle.Stopped {
				r.step(lifecycle.Stop)
				busy = busy || r.life.State != lifecycle.Stopped
			}
		}
		if busy {
			return
		}
	}
}

// leave lets replicas drain that somebody else has asked to end. It is called at the pulse after
// they have said so, since whoever asked may have asked this process as well, and then everything
// is stopped in order. One goes after the other, as long as others of its group can take its calls.
func (s *set) leave() {
	if s.stopping || s.d.stopping {
		return
	}

	for _, r := range s.ordered() {
		if r.leaving == nil {
			continue
		}
		r.leaving.pulses++
		if r.leaving.pulses > 1 && (s.replaceable(r) || r.leaving.pulses > maxLeave) {
			r.leaving = nil
			r.step(lifecycle.Leave)
		}
	}
}

// maxLeave is how many pulses a replica that wants to end waits for others to take its calls.
const maxLeave = 10

// replaceable reports whether another replica of a group takes calls, or there is no other.
func (s *set) replaceable(r *replica) bool {
	alone := true
	for _, other := range s.replicas {
		if other == r || other.id.Group != r.id.Group {
			continue
		}
		alone = false
		if other.life.State == lifecycle.Ready && other.leaving == nil {
			return true
		}
	}

	return alone
}

// reasons says why replicas are not ready, as the end of a sentence.
func (s *set) reasons() string {
	var list []string
	for _, r := range s.ordered() {
		if r.life.State != lifecycle.Ready {
			list = append(list, fmt.Sprintf("%s is %s%s", r.name, r.life.State, r.because()))
		}
	}
	if len(list) == 0 {
		return ""
	}

	return ": " + strings.Join(list, "; ")
}

func (s *set) kill() {
	s.stopping = true
	for _, r := range s.ordered() {
		r.step(lifecycle.Kill)
	}
}

// running reports whether any replica has, or will have, a process.
func (s *set) running() bool {
	for _, r := range s.replicas {
		if r.life.State != lifecycle.Stopped {
			return true
		}
	}
	return false
}

// ready reports whether all replicas that were started take calls.
func (s *set) ready() bool {
	for _, r := range s.replicas {
		if r.life.State != lifecycle.Ready {
			return false
		}
	}
	return len(s.replicas) > 0
}

// ended reports whether the main component's program has returned in all of its replicas.
func (s *set) ended() bool {
	if s.stopping {
		return false
	}
	mains := s.plan.MainGroups()
	ended := false // it may not have started
	for _, r := range s.replicas {
		if slices.Contains(mains, r.id.Group) {
			if !r.finished {
				return false
			}
			ended = true
		}
	}
	return ended
}

// ordered returns the replicas by group and number.
func (s *set) ordered() []*replica {
	return slices.SortedFunc(maps.Values(s.replicas), func(a, b *replica) int {
		ga := slices.IndexFunc(s.plan.Groups, func(g place.Group) bool { return g.Name == a.id.Group })
		gb := slices.IndexFunc(s.plan.Groups, func(g place.Group) bool { return g.Name == b.id.Group })
		if ga != gb {
			return ga - gb
		}
		return a.id.Number - b.id.Number
	})
}

// group returns a group of the plan.
func (s *set) group(name string) place.Group {
	for _, g := range s.plan.Groups {
		if g.Name == name {
			return g
		}
	}
	return place.Group{}
}

func routed(c codegen.Info) bool { return c.Routed }

// listeners returns the names of a group's listeners.
func (s *set) listeners(group string) []string {
	var names []string
	for _, c := range s.spec.Components {
		if s.plan.Hosts(group, c.Name) {
			names = append(names, c.Listeners...)
		}
	}
	return names
}
