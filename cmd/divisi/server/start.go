package server

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/divisi-go/divisi/cmd/divisi/console"
	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/keeper/door"
	"github.com/divisi-go/divisi/internal/lifecycle"
	"github.com/divisi-go/divisi/internal/memfd"
	"github.com/divisi-go/divisi/internal/name"
	"github.com/divisi-go/divisi/internal/probe"
	"github.com/divisi-go/divisi/internal/server"
)

// start starts a server and waits until it is ready. One that does not become ready is stopped again. One
// that has finished already is a [server.EndedError] that says so.
func (d *Desk) start(ctx context.Context, p *plan, limit time.Duration) (keeper.Proc, error) {
	var proc keeper.Proc
	err := d.change(ctx, p.spec.Domain, func(c *door.Client) error {
		var err error
		proc, err = begin(ctx, c, p)
		return err
	})
	if err != nil {
		return proc, err
	}

	err = d.becomesReady(ctx, proc, &p.spec, p.ready, false, limit)
	var ended *server.EndedError
	if err != nil && !(errors.As(err, &ended) && ended.Finished) {
		err = errors.Join(err, server.Undo(moments{d}, keeper.ID{Domain: proc.Domain, Name: proc.Name}))
	}
	return proc, err
}

// Begin starts a program that says when it is ready, and waits for that. It starts again unless it ends with the exit code 0.
func Begin(ctx context.Context, id name.Server, program, env []string, limit time.Duration) error {
	o := options{
		name: id.String(), program: program, env: env, dir: "/", ready: string(probe.Notify),
		restart: string(lifecycle.Transient), stopTime: limit,
	}
	p, err := o.plan()
	if err != nil {
		return err
	}
	d, err := Open(ctx, strings.Join(program, " "), true)
	if err != nil {
		return err
	}
	defer d.close()
	_, err = d.start(ctx, p, limit)
	return err
}

// begin starts a server with what it inherits, or leaves nothing of it.
func begin(ctx context.Context, c *door.Client, p *plan) (keeper.Proc, error) {
	id := p.spec.ID()
	list, err := c.List(ctx, id.Domain)
	if err != nil {
		return keeper.Proc{}, err
	}
	for _, other := range list {
		if other.Domain == id.Domain && other.Name == id.Name {
			return keeper.Proc{}, console.Failure(fmt.Sprintf("divisi restart %v, or divisi stop %v first", id, id),
				"cannot start %v: it runs already, since %s (process %d)", id, other.Started.Format(time.RFC3339), other.Pid)
		}
	}

	before, err := c.Sockets(ctx, id.Domain)
	if err != nil {
		return keeper.Proc{}, err
	}
	proc, err := open(ctx, c, p)
	if errors.Is(err, keeper.ErrUnknown) {
		proc, err = open(ctx, c, p) // a keeper that has just ended had its secrets
	}
	if err != nil {
		for _, s := range p.sockets {
			if !slices.ContainsFunc(before, func(b keeper.Socket) bool { return b.Domain == s.Domain && b.Key == s.Key }) {
				_ = c.Unlisten(ctx, s.Domain, s.Key) // it may be the one that could not be opened
			}
		}
	}
	return proc, err
}

// open opens what the server inherits, and starts it.
func open(ctx context.Context, c *door.Client, p *plan) (keeper.Proc, error) {
	for _, s := range p.sockets {
		if _, err := c.Listen(ctx, s); err != nil {
			return keeper.Proc{}, whyNoSocket(p.spec.ID(), s, err)
		}
	}
	for slot, data := range p.secrets {
		f, err := memfd.New(slot, data)
		if err == nil {
			err = c.Put(ctx, p.spec.Domain, slot, f)
		}
		if err != nil {
			return keeper.Proc{}, err
		}
	}

	proc, err := c.Start(ctx, p.spec)
	if errors.Is(err, syscall.ENOEXEC) {
		err = &console.Error{Code: console.Failed, Err: err,
			Way: "it is no program of this machine; the first line of a script says what runs it, as #!/bin/sh does"}
	}
	return proc, err
}

func whyNoSocket(id keeper.ID, s keeper.Socket, err error) error {
	way := ""
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		way = "stop what listens there, or give another address"
	case errors.Is(err, syscall.EACCES):
		way = "give a port from 1024 on, or a folder of your own"
	case errors.Is(err, keeper.ErrDiffers):
		way = "give the address of the others that share it, or a name of its own"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		way = "give an address of this machine, or none for all of them, as in :8080"
	}
	return &console.Error{Code: console.Failed, Err: fmt.Errorf("cannot start %v: cannot listen at %s: %w", id, s.Address, err), Way: way}
}

// becomesReady waits until a start of a server is ready, perhaps beside the one whose place it takes.
func (d *Desk) becomesReady(ctx context.Context, p keeper.Proc, spec *keeper.Spec, by probe.Probe, beside bool, limit time.Duration) error {
	listeners, err := d.listeners(ctx, spec)
	if err != nil {
		return err
	}
	log := filepath.Join(d.home.Domain(p.Domain).Logs, p.Name+".log")
	start := &server.Start{Keeper: d.Client, Proc: p, Spec: spec, Ready: by, Log: log, Beside: beside}
	for _, l := range listeners {
		start.Listeners = append(start.Listeners, probe.Address{Network: l.Network, Address: l.Address})
	}

	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	err = start.Await(limited)
	switch {
	case err == nil || ctx.Err() != nil:
		return err
	case limited.Err() != nil:
		return &console.Error{Code: console.Timeout, Err: fmt.Errorf("%v is not ready after %v: %w%s", p.ID, limit, err, start.LastWords()),
			Way: "give it more time with --timeout, or see divisi logs " + p.ID.String()}
	}
	var ended *server.EndedError
	if errors.As(err, &ended) && !ended.Finished {
		return console.Failure("its whole log: divisi logs "+p.ID.String(), "%w%s", err, start.LastWords())
	}

	return err
}

// moments is a keeper of which a command has a domain only for the moment of a change.
type moments struct{ *Desk }

var _ server.Keeper = moments{}

func (m moments) Start(ctx context.Context, spec keeper.Spec) (p keeper.Proc, err error) {
	err = m.change(ctx, spec.Domain, func(c *door.Client) error {
		p, err = c.Start(ctx, spec)
		return err
	})
	return p, err
}

func (m moments) Stop(ctx context.Context, id keeper.ID) (exit keeper.Exit, err error) {
	err = m.change(ctx, id.Domain, func(c *door.Client) error {
		exit, err = c.Stop(ctx, id)
		return err
	})
	return exit, err
}
