package system

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/sandbox"
)

// Sandbox is a host on a machine that it shares: users, files, processes and network are its own. The zero value has the
// files of the machine to read, a network of its own, and no limits.
type Sandbox struct {
	Name string // in its nursery

	// Root is a folder with all files, such as that of an artifact or an image; by default they are those of the machine.
	// They are read-only. /tmp, /run, /dev and /proc are always its own, and of the machine's files the home folder of
	// the user and the state folder are empty.
	Root Dir

	Mounts []Mount // what else of the machine is seen

	// HostNetwork leaves it the network of the machine. A network of its own reaches itself only, and [Host.Dial] and
	// Listeners are the way in.
	HostNetwork bool

	// Listeners are those of the machine that servers in the sandbox may inherit.
	Listeners []*Listener

	// Limits bound all that runs in it together, as divisi start --limit does: memory=256M, cpus=0.5, pids=100. Where the
	// keeper has no control groups it is not started, and the error says so.
	Limits []string

	Policy Policy // what follows when it fails; it is restarted after every end by default
}

// Mount is a folder or a file of the machine that a sandbox sees.
type Mount struct {
	From     interface{ On(*Host) (string, error) } // a Dir or a File
	To       string                                 // where it is seen; default at the same path
	Writable bool
}

// Grace of sandboxes: what runs in one has its own before it.
const boxGrace = 15 * time.Second

// Sandbox has a sandbox run in a nursery, and returns it as a host, by the name that the nursery's servers have. It is a
// server itself: it outlives the program, is found by its next run with all that runs in it, is replaced when its
// specification has changed, and starts again when it fails; everything in it ends with its first process. Its state
// folder, with what its servers keep, is below the data of the program, and stays.
//
// It needs Linux 5.12 and user namespaces, and no root. The user in it is the one who runs the program, without any right of
// root, and is the only one.
func (h *Host) Sandbox(ctx context.Context, n *Nursery, s Sandbox) (*Host, error) {
	site := caller()
	box, err := h.sandbox(ctx, n, s)
	if err != nil {
		return nil, fmt.Errorf("cannot have the sandbox %s in %s (%s): %w", s.Name, n.Path(), site, err)
	}
	return box, nil
}

func (h *Host) sandbox(ctx context.Context, n *Nursery, s Sandbox) (*Host, error) {
	if h.below.Home.Dir == "" {
		return nil, errors.New("there are no sandboxes where a host is simulated")
	}
	id := keeper.ID{Domain: n.Path(), Name: s.Name}.String()
	plan, err := h.boxPlan(id, s)
	if err != nil {
		return nil, err
	}
	variable, err := plan.Variable()
	if err != nil {
		return nil, err
	}

	door, err := h.listen(ctx, n, s.Name+".door", "unix", filepath.Join(h.below.Home.Runtime, "box-"+sandbox.Handle(id)+".sock"))
	if err != nil {
		return nil, err
	}
	door.name = sandbox.Door
	given := []*Listener{door}
	for _, l := range s.Listeners {
		handed := *l
		handed.name = l.handle()
		given = append(given, &handed)
	}
	_, err = h.Ensure(ctx, n, Spec{
		Name: s.Name, Env: []string{variable}, Listeners: given, Ready: "notify", Grace: boxGrace, Alone: true,
		Policy: s.Policy, own: "sandbox", Limits: s.Limits,
	})
	if err != nil {
		return nil, err
	}
	return h.openBox(ctx, n, id, door.address, s.Listeners)
}

// openBox opens the host that a sandbox is, until the nursery ends.
func (h *Host) openBox(ctx context.Context, n *Nursery, id, door string, listeners []*Listener) (*Host, error) {
	below, err := n.program.hosts.Open(ctx, sandbox.Machine{
		Called: id, Reach: func(ctx context.Context) (net.Conn, error) { return h.Dial(ctx, "unix", door) },
	})
	if err != nil {
		return nil, err
	}
	n.program.note()
	n.whenOver(func() {
		n.program.hosts.Forget(below)
		n.program.note()
	})
	box := n.program.host(below)
	for _, l := range listeners {
		key := keeper.Socket{Domain: n.Path(), Key: "handed-" + l.handle(), Network: keeper.Handed, Address: sandbox.Hand(l.handle())}
		if _, err := below.Keeper.Listen(ctx, key); err != nil {
			return nil, fmt.Errorf("cannot hand the listener %s over: %w", l.name, err)
		}
		below.Asked.Add(keeper.ID{Domain: key.Domain, Name: key.Key})
		box.handed.Store(l.handle(), keeper.Inherit{Domain: key.Domain, Key: key.Key, As: l.name})
	}
	return box, nil
}

// handle is what tells a listener of a machine from others in its sandboxes.
func (l *Listener) handle() string { return sandbox.Handle(l.domain + "\x00" + l.key) }

// boxPlan returns what a sandbox is to be.
func (h *Host) boxPlan(id string, s Sandbox) (sandbox.Spec, error) {
	plan := sandbox.Spec{Name: id, Network: sandbox.OwnNetwork}
	if s.HostNetwork {
		plan.Network = sandbox.HostNetwork
	}
	var err error
	if s.Root.host != nil {
		plan.Root, err = s.Root.On(h)
	} else if env, wrong := h.environment(Spec{}); wrong != nil {
		err = wrong
	} else {
		plan.Hide(env, h.below.Home.Dir, h.below.Home.Runtime)
	}
	for _, m := range s.Mounts {
		if m.From == nil {
			err = errors.Join(err, errNoDir)
			continue
		}
		from, wrong := m.From.On(h)
		if wrong == nil {
			wrong = plan.Mount(from, m.To, m.Writable)
		}
		err = errors.Join(err, wrong)
	}
	for _, l := range s.Listeners {
		if l.host != h {
			err = errors.Join(err, fmt.Errorf("the listener %s is on %s, and cannot be handed to a sandbox of %s", l.name, l.host.name, h.name))
		}
	}
	if err != nil {
		return plan, err
	}
	state, err := h.Dir(path.Join("sandboxes", strings.NewReplacer("@/", "@", "/", ".").Replace(id)))
	plan.State = state.path
	return plan, err
}

// inherit returns how a server on the host inherits a listener.
func (h *Host) inherit(l *Listener) (keeper.Inherit, error) {
	if l.host == h {
		return keeper.Inherit{Domain: l.domain, Key: l.key, As: l.name}, nil
	}
	if handed, ok := h.handed.Load(l.handle()); ok {
		return handed.(keeper.Inherit), nil
	}
	return keeper.Inherit{}, fmt.Errorf("the listener %s is on %s, and cannot be used on %s, unless that is a sandbox whose Listeners have it", l.name, l.host.name, h.name)
}
