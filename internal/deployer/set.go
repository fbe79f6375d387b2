package deployer

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/divisi-go/divisi/codegen"
	"github.com/divisi-go/divisi/envelope/protos"
	"github.com/divisi-go/divisi/internal/event"
	"github.com/divisi-go/divisi/internal/inherit"
	"github.com/divisi-go/divisi/internal/lifecycle"
	"github.com/divisi-go/divisi/internal/name"
	"github.com/divisi-go/divisi/internal/place"
	"github.com/divisi-go/divisi/internal/replica"
)

// set is the replicas of one version. It belongs to the goroutine of Deployer.Serve.
type set struct {
	version
	d         *Deployer
	placement *place.State
	replicas  map[place.Replica]*replica.Replica
	before    []*set          // whose singletons must end before those of this set start
	held      []place.Replica // singletons that wait for that
	waiting   []func()        // dismiss what was found waiting for its next start
	stopping  bool
	retired   bool          // nobody wants it: it drains, and is forgotten
	withdrawn bool          // besides, the version before it goes on
	resumed   chan struct{} // closed when what was found running is in its place
}

func (d *Deployer) newSet(v version) *set {
	return &set{
		version: v, d: d,
		placement: place.NewState(v.plan), replicas: map[place.Replica]*replica.Replica{}, resumed: make(chan struct{}),
	}
}

// begin starts the version, or goes on with what a deployer before has started of it.
func (s *set) begin() { s.resume(len(s.before) > 0) }

// perform does what the placement says.
func (s *set) perform(actions []place.Action) {
	for _, a := range actions {
		switch a := a.(type) {
		case place.Start:
			s.start(a.Replica)
		case place.Route:
			if r, ok := s.replicas[a.To]; ok {
				r.Tell(routingInfo(a))
			}
		default:
			panic(fmt.Sprintf("deployer: unknown action %T", a))
		}
	}
}

// start begins to supervise a replica.
func (s *set) start(id place.Replica) {
	if s.replicas[id] != nil {
		return // it was found running
	}
	if s.retired && s.singleton(id.Group) {
		return // it runs, or will, in the version that stays
	}
	if len(s.before) > 0 && s.singleton(id.Group) {
		s.held = append(s.held, id)
		return
	}

	s.add(id).Step(lifecycle.Start)
}

// add adds a replica that is stopped.
func (s *set) add(id place.Replica) *replica.Replica {
	o := replica.Options{
		Context: s.d.ctx, Owner: s, Launcher: s.d.launcher, Certificates: certificates{s.authority, id},
		Resumed: s.resumed, Aside: &s.d.aside, HandleLog: s.d.options.HandleLog, HandleSpans: s.d.options.HandleSpans,
	}
	if next := s.d.options.Succession; next != nil {
		o.Epoch, o.Keep = next.Epoch, next.KeepCertificate
	}

	r := replica.New(s.role(id), policy(s.spec, id.Group), rand.Float64, o)
	s.replicas[id] = r
	return r
}

// role is what a replica is to be. Every deployer says the same.
func (s *set) role(id place.Replica) replica.Role {
	server := name.Replica(s.spec.Name, id.Group, id.Number)
	info := protos.EnvelopeInfo{
		App:             s.spec.Name,
		DeploymentId:    s.spec.Version,
		Id:              server.String() + "." + s.spec.Version,
		Sections:        map[string]string{},
		RunMain:         slices.Contains(s.plan.MainGroups(), id.Group),
		Mtls:            s.authority != nil,
		InternalAddress: "localhost:0",
		Features:        []string{protos.FeatureLogLines, protos.FeatureReports},
		Group:           id.Group,
		Name:            server.String(),
	}
	if s.spec.Config.Metrics.Local {
		info.Features = append(info.Features, protos.FeatureLocalMetrics)
	}
	stem := stemOf(server.String(), s.spec.Version)
	if dir := s.d.options.RuntimeDir; dir != "" {
		info.InternalAddress = inherit.UnixScheme + filepath.Join(dir, stem+".sock")
	}
	for component, section := range s.spec.Config.Sections {
		info.Sections[component] = string(section)
	}

	launch := replica.Launch{
		Name:    server.Name,
		Server:  server.String(),
		Replica: id,
		Version: s.spec.Version,
		Binary:  s.spec.Binary,
		Arg0:    s.spec.Arg0,
		Args:    s.spec.Config.Args,
		Env:     append(slices.Clone(s.spec.Config.Env), s.spec.Config.Process.Env...),
		Sockets: s.listeners(id.Group),
	}
	if dir := s.d.options.BootDir; dir != "" {
		launch.Boot = filepath.Join(dir, stem+".boot")
	}

	return replica.Role{
		ID: id, Name: server.String(), Info: info, Launch: launch, Components: s.group(id.Group).Components,
	}
}

// stemOf begins the names of files of a replica of a version: the same in all its runs, so that nobody has to
// learn another address, and short, since the path of a socket is.
func stemOf(replica, version string) string {
	sum := sha256.Sum256([]byte(replica + "\n" + version))
	return hex.EncodeToString(sum[:6])
}

var _ replica.Owner = (*set)(nil)

// Do implements [replica.Owner].
func (s *set) Do(ctx context.Context, f func()) error { return s.d.do(ctx, f) }

// Emit implements [replica.Owner].
func (s *set) Emit(e event.Event) { s.d.emit(e) }

// Now implements [replica.Owner].
func (s *set) Now() time.Time { return s.d.clock.At(time.Now()) }

// Joined implements [replica.Owner].
func (s *set) Joined(r *replica.Replica) { s.perform(s.placement.Up(r.ID, r.Address())) }

// Parted implements [replica.Owner].
func (s *set) Parted(r *replica.Replica) { s.perform(s.placement.Down(r.ID)) }

// Gone implements [replica.Owner].
func (s *set) Gone(r *replica.Replica) { s.perform(s.placement.Gone(r.ID)) }

// Stopped implements [replica.Owner].
func (s *set) Stopped(*replica.Replica) { s.d.finished = s.d.finished || s.ended() }

// Activate implements [replica.Owner].
func (s *set) Activate(r *replica.Replica, component string) error {
	known := slices.ContainsFunc(s.spec.Components, func(c codegen.Info) bool { return c.Name == component })
	if !known {
		return fmt.Errorf("the application has no component %s", component)
	}
	s.perform(s.placement.Activate(r.ID, component))
	return nil
}

// release starts the singletons that waited for the versions before, once none is left.
func (s *set) release() {
	if len(s.before) > 0 || s.stopping {
		return
	}
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
			if r.ID.Group == group && r.State() != lifecycle.Stopped {
				r.Step(lifecycle.Stop)
				busy = busy || r.State() != lifecycle.Stopped
			}
		}
		if busy {
			return
		}
	}
}

// leave lets replicas drain that somebody else has asked to end. One goes after the other, as long as others
// of its group can take its calls.
func (s *set) leave() {
	if s.stopping || s.d.stopping {
		return
	}

	for _, r := range s.ordered() {
		r.Leave(s.replaceable(r))
	}
}

// replaceable reports whether another replica of a group takes calls, or there is no other.
func (s *set) replaceable(r *replica.Replica) bool {
	alone := true
	for _, other := range s.replicas {
		if other == r || other.ID.Group != r.ID.Group {
			continue
		}
		alone = false
		if other.State() == lifecycle.Ready && !other.Leaves() {
			return true
		}
	}

	return alone
}

// reasons says why replicas are not ready, as the end of a sentence.
func (s *set) reasons() string {
	var list []string
	for _, r := range s.ordered() {
		if r.State() != lifecycle.Ready {
			list = append(list, fmt.Sprintf("%s is %s%s", r.Name, r.State(), r.Because()))
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
		r.Step(lifecycle.Kill)
	}
}

// running reports whether any replica has, or will have, a process.
func (s *set) running() bool {
	for _, r := range s.replicas {
		if r.State() != lifecycle.Stopped {
			return true
		}
	}
	return false
}

// ready reports whether all replicas that were started take calls.
func (s *set) ready() bool {
	for _, r := range s.replicas {
		if r.State() != lifecycle.Ready {
			return false
		}
	}
	return len(s.replicas) > 0 && !s.placement.Holds()
}

// ended reports whether the main component's program has returned in all of its replicas.
func (s *set) ended() bool {
	if s.stopping {
		return false
	}
	mains := s.plan.MainGroups()
	ended := false // it may not have started
	for _, r := range s.replicas {
		if slices.Contains(mains, r.ID.Group) {
			if !r.Finished() {
				return false
			}
			ended = true
		}
	}
	return ended
}

// ordered returns the replicas by group and number.
func (s *set) ordered() []*replica.Replica {
	return slices.SortedFunc(maps.Values(s.replicas), func(a, b *replica.Replica) int {
		ga := slices.IndexFunc(s.plan.Groups, func(g place.Group) bool { return g.Name == a.ID.Group })
		gb := slices.IndexFunc(s.plan.Groups, func(g place.Group) bool { return g.Name == b.ID.Group })
		if ga != gb {
			return ga - gb
		}
		return a.ID.Number - b.ID.Number
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
