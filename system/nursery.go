package system

import (
	"context"
	"errors"
	"path"
	"sync"

	"github.com/divisi-go/divisi/internal/key"
	"github.com/divisi-go/divisi/internal/operator"
	"github.com/divisi-go/divisi/internal/site"
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
	keys          *key.Ring

	mu   sync.Mutex // guards over
	over []func()   // is called when everything in it has ended
}

// newNursery returns a nursery whose group runs.
func newNursery(p *program, parent *Nursery, group, site string) *Nursery {
	n := &Nursery{program: p, parent: parent, group: group, site: site}
	n.ctx, n.cancel = context.WithCancelCause(p.life)
	n.keys = key.NewRing(n.ctx, n.Path())
	return n
}

// Path returns the path of the nursery: that of the program, and the names of the scopes that it is in.
func (n *Nursery) Path() string { return path.Join(n.program.domain, n.group) }

// member returns a member of the nursery that a call at site has asked for.
func (n *Nursery) member(kind, name, site string) *supervision.Member {
	return &supervision.Member{Kind: kind, Name: name, Site: site, Path: path.Join(n.group, name)}
}

// whenOver has a function be called when everything in the nursery has ended. It does not take long.
func (n *Nursery) whenOver(over func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.over = append(n.over, over)
}

// end ends the nursery, in which nothing runs any more: nothing more can be started in it.
func (n *Nursery) end() {
	n.cancel(errOver)
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, over := range n.over {
		over()
	}
	n.over = nil
}

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
			result <- supervision.Protect(func() error { return f(ctx) })
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
	if err := n.keys.Reserve(m.What(), m.Name, m.Site); err != nil {
		return err
	}
	defer n.keys.Begin(m.What(), m.Site)()
	if err := n.program.supervisor.Start(ctx, m); err != nil {
		n.keys.Release(m.What())
		return err
	}
	return nil
}

// caller returns the file and the line of the call of a function of this package, by whoever uses it.
func caller() string { return site.Outside("github.com/divisi-go/divisi/system.") }
