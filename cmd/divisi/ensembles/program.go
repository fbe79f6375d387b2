package ensembles

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/divisi-go/divisi/cmd/divisi/ensembles/content"
	"github.com/divisi-go/divisi/cmd/divisi/ensembles/files"
	"github.com/divisi-go/divisi/cmd/divisi/ensembles/history"
	"github.com/divisi-go/divisi/internal/artifact"
	"github.com/divisi-go/divisi/internal/config"
	"github.com/divisi-go/divisi/internal/ensemble"
	"github.com/divisi-go/divisi/internal/keeper/lookup"
	"github.com/divisi-go/divisi/internal/name"
	"github.com/divisi-go/divisi/internal/notify"
	"github.com/divisi-go/divisi/system"
)

// program runs the newest revision of an ensemble as a program of package system. The next revision is the next version of
// it: the same command, which takes its own place.
type program struct {
	shelf history.Shelf
	files files.Files
	store *artifact.Store // of what was pushed
	door  string          // socket of the keeper
	log   *slog.Logger
	tell  func(server, listener, address string) // where a server listens

	mu   sync.Mutex // guards told
	told map[string]bool
}

// run runs the ensemble until it is stopped, or the process is asked to leave it. A revision that does not settle is followed
// by the last one that has.
func (p *program) run(ctx context.Context) error {
	for fallen := false; ; fallen = true {
		r, err := p.shelf.Last()
		if err != nil {
			return err
		}
		err = p.runOne(ctx, r)
		if err == nil || errors.Is(err, system.ErrTaken) || ctx.Err() != nil {
			return err
		}
		if !p.shelf.Outcome(r.Number).Settled.IsZero() || fallen {
			return err // what has been well is not any more, so that nothing else would be
		}

		err = errors.Join(err, p.shelf.PutOutcome(r.Number, history.Outcome{Failed: err.Error()}))
		last, ok := p.shelf.Before(r.Number)
		if !ok {
			return err
		}
		p.log.Error("the revision fails, and the one before goes on", "revision", r.Number, "back to", last.Number, "why", err)
		last.Why = fmt.Sprintf("back to %d: %d has failed", last.Number, r.Number)
		if _, err := p.shelf.Add(last, r.Number); err != nil {
			return err
		}
	}
}

// runOne runs one revision.
func (p *program) runOne(ctx context.Context, r history.Revision) error {
	e, err := r.Parse()
	if err != nil {
		return err
	}
	touched, err := p.touched(r, e)
	if err != nil {
		return err
	}
	return system.Program{
		Name: strings.TrimPrefix(e.Domain, "/"), Strategy: e.Root.Strategy, Grace: time.Millisecond, Log: p.log,
	}.Run(ctx, func(ctx context.Context, n *system.Nursery, h *system.Host) error {
		start := &start{program: p, host: h, dir: filepath.Dir(r.File), touched: touched, pushed: content.Paths(p.store, r.Content)}
		err := start.nursery(ctx, n, &e.Root)
		if err == nil {
			err = errors.Join(p.files.Keep(e), p.shelf.PutOutcome(r.Number, history.Outcome{Settled: time.Now()}))
		}
		if err != nil {
			return err
		}
		p.log.Info("settled", "ensemble", e.Domain, "revision", r.Number, "servers", len(e.Servers()))
		_ = notify.Parent().Send(notify.Ready) // who has started this process need not be listening
		return nil
	})
}

// touched are the servers that a revision starts or replaces. The failure of one is that of the revision; the failure of
// another one is its own, and it is tried again as if it had failed later.
func (p *program) touched(r history.Revision, e *ensemble.Ensemble) (map[string]bool, error) {
	all := map[string]bool{}
	if !p.shelf.Outcome(r.Number).Settled.IsZero() {
		return all, nil
	}
	var before *ensemble.Ensemble
	if last, ok := p.shelf.Before(r.Number); ok {
		var err error
		if before, err = last.Parse(); err != nil {
			return nil, fmt.Errorf("revision %d: %w", last.Number, err)
		}
	}
	for _, change := range ensemble.Plan(before, e) {
		all[change.Server] = true
	}
	return all, nil
}

// start starts what a revision has, on a host.
type start struct {
	*program
	host    *system.Host
	dir     string            // of the document
	touched map[string]bool   // servers whose failure is that of the revision
	pushed  *strings.Replacer // puts the paths of what was pushed into the place of what a document calls it
}

// nursery starts what is in a domain, one after the other; servers of a kind start together.
func (s *start) nursery(ctx context.Context, n *system.Nursery, of *ensemble.Nursery) error {
	listeners := map[string]*system.Listener{}
	for _, m := range of.Members {
		if m.Group != nil {
			if err := s.group(ctx, n, m.Group, listeners); err != nil {
				return err
			}
			continue
		}
		scope := system.Scope{Name: filepath.Base(m.Nursery.Path), Strategy: m.Nursery.Strategy, Policy: policy(m.Nursery.Restart)}
		_, err := system.Start(ctx, n, scope, func(ctx context.Context, n *system.Nursery) (struct{}, error) {
			return struct{}{}, s.nursery(ctx, n, m.Nursery)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// group starts the servers of a kind, which share their sockets.
func (s *start) group(ctx context.Context, n *system.Nursery, g *ensemble.Group, listeners map[string]*system.Listener) error {
	spec, err := s.spec(g)
	if err != nil {
		return fmt.Errorf("cannot start %v: %w", g.ID, err)
	}
	for _, as := range slices.Sorted(maps.Keys(g.Listen)) {
		if listeners[as] == nil {
			if listeners[as], err = s.listen(ctx, n, as, g.Listen[as]); err != nil {
				return err
			}
		}
		spec.Listeners = append(spec.Listeners, listeners[as])
		s.say(g.ID, listeners[as])
	}

	var starts []func(context.Context) error
	for _, server := range g.Servers() {
		starts = append(starts, func(ctx context.Context) error {
			one, err := s.one(spec, server)
			if err != nil {
				return err
			}
			_, err = s.host.Ensure(ctx, n, one)
			if err != nil && ctx.Err() == nil && !s.touched[server.String()] {
				s.log.Error("it fails, as it may have before this revision, and is tried again", "server", server.String(), "why", err)
				return nil
			}
			return err
		})
	}
	return system.Together(ctx, starts...)
}

// say tells of a socket once, also when its domain starts again.
func (s *start) say(of name.Server, l *system.Listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	what := of.String() + " " + l.Name() + " " + l.Addr()
	if !s.told[what] {
		s.told[what] = true
		s.tell(of.String(), l.Name(), l.Addr())
	}
}

func (s *start) listen(ctx context.Context, n *system.Nursery, as, address string) (*system.Listener, error) {
	file, unix := strings.CutPrefix(address, "unix:")
	if !unix {
		return s.host.Listen(ctx, n, as, address)
	}
	file = s.path(file)
	folder, err := s.host.Dir(filepath.Dir(file))
	if err != nil {
		return nil, err
	}
	return folder.File(filepath.Base(file)).Listen(ctx, n, as)
}

// path returns a path from the folder of the document.
func (s *start) path(path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(s.dir, path)
}

// spec returns what the servers of a kind have in common.
func (s *start) spec(g *ensemble.Group) (system.Spec, error) {
	if err := content.Here(s.store, g.Content); err != nil {
		return system.Spec{}, err
	}
	spec := system.Spec{
		Program: s.pushed.Replace(g.Program), User: g.User, Ready: g.Ready, Within: g.Within, Health: g.Health, Grace: g.StopTime, Alone: *g.Alone,
		Policy: policy(g.Restart), Roles: g.AllRoles(), Labels: g.Labels, Limits: g.Limits,
	}
	switch {
	case g.Program == self:
		own, err := os.Executable()
		if err != nil {
			return spec, err
		}
		spec.Program = own
	case strings.Contains(spec.Program, "/"):
		spec.Program = s.path(spec.Program)
	}

	dir := s.path(s.pushed.Replace(g.Dir))
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return spec, fmt.Errorf("there is no folder %s to run it in", dir)
	}
	var err error
	spec.Dir, err = s.host.Dir(dir)
	return spec, err
}

// self is the program that means this command.
const self = "divisi"

// The variables of a server of an ensemble, see package files for further ones.
const (
	serverVariable = "DIVISI_SERVER" // its full name
	rolesVariable  = "DIVISI_ROLES"  // with commas between them
)

// one returns one server of a kind, whose configuration is written.
func (s *start) one(spec system.Spec, server ensemble.Server) (system.Spec, error) {
	spec.Name = server.Name
	for _, arg := range server.Of.Args {
		spec.Args = append(spec.Args, s.pushed.Replace(server.Expand(arg)))
	}
	spec.Env = append(slices.Clip(spec.Env), serverVariable+"="+server.String(), rolesVariable+"="+strings.Join(spec.Roles, ","),
		lookup.Variable+"="+s.door)
	env, err := s.files.Write(server)
	spec.Env = append(spec.Env, env...)
	for _, variable := range slices.Sorted(maps.Keys(server.Of.Env)) {
		spec.Env = append(spec.Env, variable+"="+s.pushed.Replace(server.Expand(server.Of.Env[variable])))
	}
	return spec, err
}

func policy(r config.Restart) system.Policy {
	return system.Policy{
		Restart: system.Restart(r.Policy), Intensity: r.Intensity, Window: r.Window, Backoff: r.Backoff, MaxBackoff: r.MaxBackoff,
	}
}
