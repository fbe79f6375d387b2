package serve

import (
	"context"
	"errors"
	"log"
	"sync"
	"time"

	"github.com/divisi-go/divisi/internal/inherit"
	"github.com/divisi-go/divisi/internal/interrupt"
	"github.com/divisi-go/divisi/internal/notify"
)

// Member is a part of a program that lives as long as the program does, or shorter.
//
// Serve returns when the member has nothing left to do, or after ctx has ended, when it has ended in
// order; [Ending] says how long that may take. What it returns then is no failure if it is ctx's error.
//
// A member may have a second method, Ready(ctx context.Context) error, which returns when the member is
// ready to be used by others. It is called once, while Serve runs; its error ends the program.
type Member interface {
	Serve(ctx context.Context) error
}

// Func is a function that is a [Member].
type Func func(ctx context.Context) error

// Serve calls f.
func (f Func) Serve(ctx context.Context) error { return f(ctx) }

// defaultLimit is how long the end of a program may take if nobody says otherwise.
const defaultLimit = 30 * time.Second

// Group says how a program runs. The zero value suits most.
type Group struct {
	// Limit is how long the end of all members together may take; 0 is 30 seconds. A tenth
	// of it is kept for those whose turn has not come before.
	Limit time.Duration
}

// Run runs a program that consists of members, with the zero [Group].
func Run(ctx context.Context, members ...Member) error { return Group{}.Run(ctx, members...) }

// errAsked is the cause of an end that somebody wished for.
var errAsked = errors.New("the process is asked to end")

// Run runs members until all have returned, one has failed, or the process is asked to end: by SIGINT,
// SIGTERM, or the end of ctx.
//
// Members start in their order. One that has a method Ready is waited for before the next one starts.
// Once all are ready, the process says so to its supervisor (READY=1), and from the beginning gives it
// the signs of life that it wants (WATCHDOG_USEC).
//
// They end in the reverse order (STOPPING=1): the context of the last one ends, and when it has
// returned, that of the one before it. A second signal, a second or more after the first, ends the
// process at once with the exit code 130.
//
// The error is that of the first member that failed, with what failed because of the end, and the names
// of members that have not returned in time. After an orderly end it is nil. What a member panics with
// ends the process, as it does elsewhere.
func (g Group) Run(ctx context.Context, members ...Member) error {
	ctx, stop := interrupt.Context(ctx, errAsked, nil)
	defer stop()

	watched, unwatch := context.WithCancel(context.WithoutCancel(ctx))
	var watchdog sync.WaitGroup
	defer watchdog.Wait()
	defer unwatch()
	watchdog.Go(func() { notify.Watchdog(watched) })

	return g.run(ctx, members)
}

// run runs members until ctx ends, or they do.
func (g Group) run(ctx context.Context, members []Member) error {
	if g.Limit <= 0 {
		g.Limit = defaultLimit
	}
	c := newCrew(ctx, g.Limit, len(members))

	err := c.start(ctx, members)
	if err == nil && ctx.Err() == nil {
		if err := notify.Send(notify.Ready); err != nil {
			log.Printf("serve: %v", err)
		}
		warnUnclaimed()
		err = c.wait(ctx)
	}
	notify.Send(notify.Stopping) // a supervisor that has gone need not know
	return c.end(err)
}

// warnUnclaimed warns of sockets on which connections would wait for ever.
func warnUnclaimed() {
	sockets, err := inherit.Listening()
	if err != nil {
		return // Listener has said it, or nobody wants one
	}
	for _, name := range sockets.Unclaimed() {
		log.Printf("serve: this process has inherited a socket %q, but does not use it: call it by the name "+
			"that the program gives to serve.Listener", name)
	}
}
