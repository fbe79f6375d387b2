package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/divisi-go/divisi/bench/load"
	"github.com/divisi-go/divisi/bench/report"
)

// What an idle connection takes is what a process holds with so many of them, and with one.
const (
	manyConnections      = 200
	connectionsAreIdle   = 5 * time.Second // after this time
	callersOfConnections = 16
)

// weight is what a connection takes on both sides, in KB.
type weight struct{ caller, callee float64 }

// weigh measures what idle connections take, with each rival that can have many, and returns a table.
func (o options) weigh(ctx context.Context) (string, report.Figures, error) {
	t := report.NewTable("", "", "KB of the caller", "KB of the callee")
	f := report.Figures{}
	var failed error
	for _, network := range []string{"unix", "tcp", "tls"} {
		what := networkNames[network]
		for _, r := range rivals {
			if !r.many || r.lacks(measurement{network: network}) != "" {
				continue
			}
			w, err := o.weighOne(ctx, r, network)
			if ctx.Err() != nil {
				return t.String(), f, ctx.Err()
			}
			if err != nil {
				failed = errors.Join(failed, fmt.Errorf("%s over %s: %w", r.name, network, err))
				t.Add(what, r.name, "failed", "failed")
				continue
			}
			t.Add(what, r.name, report.Short(w.caller), report.Short(w.callee))
			f.Set(w.caller, "connection", network, r.name, "caller")
			f.Set(w.callee, "connection", network, r.name, "callee")
			what = ""
		}
	}
	return t.String(), f, failed
}

func (o options) weighOne(ctx context.Context, r contestant, network string) (w weight, err error) {
	one, err := o.hold(ctx, r, network, 1)
	if err != nil {
		return w, err
	}
	many, err := o.hold(ctx, r, network, manyConnections)
	of := func(many, one uint64) float64 { return (float64(many) - float64(one)) / (manyConnections - 1) / 1024 }
	return weight{of(many[0], one[0]), of(many[1], one[1])}, err
}

// hold returns what both processes hold in memory with so many idle connections, all of which have been used.
func (o options) hold(ctx context.Context, r contestant, network string, n int) (held [2]uint64, err error) {
	if err := os.Setenv(load.ConnectionsVariable, strconv.Itoa(n)); err != nil {
		return held, err
	}
	defer os.Unsetenv(load.ConnectionsVariable)
	p, err := newPair(ctx, r.name, r.rival, network)
	defer p.end()
	if err != nil {
		return held, err
	}
	for range 3 { // connections are made meanwhile
		if _, err := p.client.Ask(load.Order{Run: true, Payload: load.Nothing, Callers: callersOfConnections, Time: o.took}); err != nil {
			return held, err
		}
	}
	select {
	case <-time.After(connectionsAreIdle):
	case <-ctx.Done():
		return held, ctx.Err()
	}
	for i, w := range []*load.Worker{p.client, p.server} {
		a, err := w.Ask(load.Order{Weigh: true})
		if err != nil {
			return held, err
		}
		held[i] = a.Held
	}
	return held, nil
}
