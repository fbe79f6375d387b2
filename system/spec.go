package system

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"syscall"
	"time"

	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/keeper/limit"
	"github.com/divisi-go/divisi/internal/lifecycle"
	"github.com/divisi-go/divisi/internal/probe"
	"github.com/divisi-go/divisi/internal/role"
	"github.com/divisi-go/divisi/internal/selection"
	"github.com/divisi-go/divisi/internal/server"
)

// Spec is a program that a host is to run. All but the name may be left out.
type Spec struct {
	Name string // in its nursery

	// Program is a path, a name that is looked for as a shell does, or a [Server] of this program: whatever
	// becomes of its file then, the process starts again from what it was.
	Program string
	Args    []any    // each a string, or a Dir or a File of the host, for its path
	Env     []string // besides PATH, HOME, LANG, TZ, USER, LOGNAME, SHELL and TMPDIR, which are passed on
	Dir     Dir      // where it runs; default the folder of the program's data
	User    string   // default that of this program

	// Listeners are inherited in order, from descriptor 3 on, in the way of systemd, each by its name.
	// Package serve takes them by that.
	Listeners []*Listener

	// Ready says how one sees that it can be used: notify, port, port:PORT, port:HOST:PORT, http:/PATH,
	// http://HOST:PORT/PATH, file:PATH, exec:COMMAND or log:REGEXP. By default it has run for 300 ms.
	Ready string

	// Check is asked in place of Ready, again and again, until it returns nil.
	Check func(context.Context) error

	Within time.Duration // it has to become ready, or is stopped; default 30 s

	// Health is asked all the time, as long as it runs: http, port, file or exec, as in Ready. It is killed,
	// and has failed, when the answer is no three times in a row.
	Health string

	Stop  syscall.Signal // asks it to end; default SIGTERM
	Grace time.Duration  // from that to SIGKILL; default 10 s

	// Alone has no two of it run at the same time: an upgrade stops the one before first. So does every
	// upgrade of a program without listeners, for nobody knows what it opens by itself.
	Alone bool

	Policy Policy // what follows when it fails; it is restarted after every end by default

	Roles  []string          // by which commands select it, as role:NAME; the first one is what it is for
	Labels map[string]string // by which commands select it, as label:NAME=VALUE
	Limits []string          // of its process or its control group, as divisi start --limit takes them

	own string // it is this program, and this tells it from others in place of the content; "" for any program
}

// withinDefault is the default of Spec.Within.
const withinDefault = 30 * time.Second

// wanted checks a specification for a server of a domain.
func (h *Host) wanted(domain string, s Spec) (*server.Wanted, error) {
	w := &server.Wanted{
		Keeper: h.below.Keeper, Observer: h.below.Observer, Log: h.below.Log(keeper.ID{Domain: domain, Name: s.Name}),
		Check: s.Check, Within: cmp.Or(s.Within, withinDefault), Alone: s.Alone || len(s.Listeners) == 0,
	}
	w.Spec = keeper.Spec{
		Domain: domain, Name: s.Name, Env: slices.Clone(s.Env), User: s.User, Grouped: true, Stop: s.Stop, Grace: s.Grace,
	}
	var err error
	if w.Spec.Limits, err = limit.ParseAll(s.Limits); err != nil {
		return nil, err
	}
	if w.Spec.Labels, err = selection.Kept(s.Roles, s.Labels); err != nil {
		return nil, err
	}
	program, err := h.program(s, &w.Spec)
	if err != nil {
		return nil, fmt.Errorf("on %s: %w", h.name, err)
	}
	if w.Spec.Dir, err = h.folder(s.Dir); err != nil {
		return nil, err
	}
	var away *Listener
	for _, l := range s.Listeners {
		inherits, err := h.inherit(l)
		if err != nil {
			return nil, err
		}
		w.Spec.Sockets = append(w.Spec.Sockets, inherits)
		if l.host != h {
			away = l
			continue
		}
		w.Listeners = append(w.Listeners, probe.Address{Network: l.network, Address: l.address})
	}
	if err := w.Probes(s.Ready, s.Health); err != nil {
		return nil, err
	}

	if kind := w.Ready.Kind; away != nil && s.Check == nil && (kind == probe.Port || kind == probe.HTTP) {
		return nil, fmt.Errorf("%v is asked on %s, where nobody reaches the listener %s of %s: use notify, or a Check", w.Ready, h.name, away.name, away.host.name)
	}

	if w.Spec.Digest, err = server.Digest(w.Spec, program.Sum); err != nil {
		return nil, err
	}
	if w.Spec.Env, err = h.environment(s); err != nil {
		return nil, err
	}
	w.Spec.Labels[server.LabelReady], w.Spec.Labels[server.LabelProgram] = s.Ready, server.Shown(&w.Spec)
	if program.Kept {
		w.Spec.Labels[server.LabelKept] = program.Path
	}
	return w, nil
}

// program finds the program of a specification, and says how it is called.
func (h *Host) program(s Spec, spec *keeper.Spec) (server.Program, error) {
	word := s.Program
	if own, ok := role.Of(word); ok {
		if err := own.Check(len(s.Args)); err != nil {
			return server.Program{}, err
		}
		word, spec.Args = "", append(spec.Args, own.Name)
	} else if word == "" && s.own == "" {
		return server.Program{}, errors.New("it has no Program")
	}
	program, err := h.below.Find(word)
	spec.Path = program.Path
	if s.own != "" {
		program.Sum = s.own
	}
	for i, arg := range s.Args {
		text, wrong := h.argument(arg)
		if wrong != nil {
			err = errors.Join(err, fmt.Errorf("its argument %d: %w", i+1, wrong))
		}
		spec.Args = append(spec.Args, text)
	}
	return program, err
}

// argument returns an argument as a program on the host has it.
func (h *Host) argument(arg any) (string, error) {
	switch arg := arg.(type) {
	case string:
		return arg, nil
	case interface{ On(*Host) (string, error) }: // a Dir or a File
		return arg.On(h)
	}
	return "", fmt.Errorf("%v has the type %T: use a string, a Dir or a File", arg, arg)
}

// folder returns where a program runs.
func (h *Host) folder(d Dir) (string, error) {
	if d.host != nil {
		return d.On(h)
	}
	data, err := h.Dir("")
	return data.path, err
}

// environment returns all variables of a program. GORACE is that of the race detector, if there is one.
func (h *Host) environment(s Spec) ([]string, error) {
	own := s.Env
	if value, ok := os.LookupEnv("GORACE"); ok {
		own = append([]string{"GORACE=" + value}, own...)
	}
	whole := server.Environment
	if h.below.Environment != nil {
		whole = h.below.Environment
	}
	env, err := whole(own, s.User)
	if err != nil {
		return nil, fmt.Errorf("the user %s: %w", s.User, err)
	}
	return env, nil
}

// policies of the keeper, which has a server start again while no program decides.
func (p Policy) keeper() *lifecycle.Policy {
	policy := p.lifecycle(lifecycle.Permanent)
	return &policy
}
