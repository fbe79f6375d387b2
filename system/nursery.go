package system

import (
	"context"
	"errors"
	"fmt"
	"path"
	"runtime"
	"strconv"
	"strings"
	"sync"

	"github.com/divisi-go/divisi/internal/name"
	"github.com/divisi-go/divisi/internal/operator"
	"github.com/divisi-go/divisi/internal/supervision"
	"github.com/divisi-go/divisi/internal/tree"
)

// Nursery is a scope and a supervisor: what is started in it ends with it, in the reverse order, and what
// fails in it is dealt with as its [Scope] says.
//
// Its path, such as /orderd/eu, and the name of a server or a listener are the key by which the next run of
// the program finds that again. So a function that starts something may be called twice, in two nurseries.
type Nursery struct {
	program       *program
	group         string // its path in the tree: "/" is the outermost one
	site          string // of the call that has made it
	name          string
	parent        *Nursery // nil for the outermost one
	scopeStrategy Strategy
	ctx           context.Context // ends with the nursery
	cancel        context.CancelCauseFunc

	mu    sync.Mutex        // guards what follows
	keys  map[string]string // where each was reserved
	begun map[string]string // what is being started, and where that was asked for
}

// newNursery returns a nursery whose group runs.
func newNursery(p *program, parent *Nursery, group, site string) *Nursery {
	n := &Nursery{program: p, parent: parent, group: group, site: site, keys: map[string]string{}, begun: map[string]string{}}
	n.ctx, n.cancel = context.WithCancelCause(p.life)
	return n
}

// Path returns the path of the nursery: that of the program, and the names of the scopes that it is in.
func (n *Nursery) Path() string { return path.Join(n.program.domain, n.group) }

// member returns a member of the nursery that a call at site has asked for.
func (n *Nursery) member(kind, name, site string) *supervision.Member {
	return &supervision.Member{Kind: kind, Name: name, Site: site, Path: path.Join(n.group, name)}
}

// reserve gives a name to what is about to be there, or says why it cannot be.
func (n *Nursery) reserve(key, label, site string) error {
	if err := name.CheckLabel(label); err != nil {
		return fmt.Errorf("%s (%s): %w", key, site, err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.ctx.Err() != nil {
		return fmt.Errorf("cannot start %s (%s): the nursery %s has ended: %w", key, site, n.Path(), context.Cause(n.ctx))
	}
	if other, ok := n.keys[key]; ok {
		return fmt.Errorf("%s is in the nursery %s twice: at %s and at %s; give one another name, or start it in a nursery of its own",
			key, n.Path(), other, site)
	}
	n.keys[key] = site
	return nil
}

// release gives a name back of what could not be started.
func (n *Nursery) release(key string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.keys, key)
}

// begin takes note of what is being started, until the function that it returns is called.
func (n *Nursery) begin(key, site string) (end func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.begun[key] = site
	return func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		delete(n.begun, key)
	}
}

// unfinished says what is still being started when the function that starts it has returned.
func (n *Nursery) unfinished() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	for key, site := range n.begun {
		return fmt.Errorf("the start of %s has returned before %s (%s) was ready: wait for it", n.Path(), key, site)
	}
	return nil
}

// end ends the nursery: nothing more can be started in it.
func (n *Nursery) end(cause error) { n.cancel(cause) }

var errOver = errors.New("it was stopped")

// Go runs a function for the life of the nursery, whose end its context has. If it returns an error, or
// panics, it has failed; if it returns nil, it has finished.
func (n *Nursery) Go(name string, f func(context.Context) error) error {
	site := caller()
	m := n.member(operator.KindTask, name, site)
	m.Spec = tree.Spec{Policy: Policy{}.lifecycle(transient)}
	m.Run = func(context.Context) (func() (bool, error), error) {
		ctx, cancel := context.WithCancel(n.ctx)
		m.WhenHalted(func(bool) { cancel() })
		result := make(chan error, 1)
		go func() {
			defer cancel()
			result <- protect(func() error { return f(ctx) })
		}()
		return func() (bool, error) {
			err := <-result
			return err == nil, err
		}, nil
	}
	return n.start(n.ctx, m)
}

// start starts a member, and returns once it can be used, or has failed to.
func (n *Nursery) start(ctx context.Context, m *supervision.Member) error {
	if err := n.reserve(m.What(), m.Name, m.Site); err != nil {
		return err
	}
	defer n.begin(m.What(), m.Site)()
	if err := n.program.supervisor.Start(ctx, m); err != nil {
		n.release(m.What())
		return err
	}
	return nil
}

// caller returns the file and the line of the call of a function of this package, by whoever uses it.
func caller() string {
	pcs := make([]uintptr, 8)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(3, pcs)])
	for {
		f, more := frames.Next()
		if f.Function == "runtime.goexit" {
			return "a go statement"
		}
		if !strings.HasPrefix(f.Function, "github.com/divisi-go/divisi/system.") || !more {
			return short(f.File) + ":" + strconv.Itoa(f.Line)
		}
	}
}

// short returns the last two parts of a path.
func short(file string) string { return path.Join(path.Base(path.Dir(file)), path.Base(file)) }
