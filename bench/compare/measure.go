package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/divisi-go/divisi/bench/load"
)

// measurement is a case: what is called by how many, over what.
type measurement struct {
	network  string // unix, tcp or tls
	payload  load.Payload
	callers  int
	oneCPU   bool          // both processes share one processor
	deadline time.Duration // of each call; 0 is none
	quick    bool          // also measured when there is little time
}

// who names the case within its payload.
func (m measurement) who() string {
	text := fmt.Sprint(m.callers)
	if m.oneCPU {
		text += ", one CPU"
	}
	if m.deadline > 0 {
		text += ", deadline"
	}
	return text
}

func (m measurement) String() string {
	return fmt.Sprintf("%s: %s x %s", m.network, m.payload, m.who())
}

var measurements = []measurement{
	{network: "unix", payload: load.Nothing, callers: 1, oneCPU: true, quick: true},
	{network: "unix", payload: load.Nothing, callers: 1},
	{network: "unix", payload: load.Nothing, callers: 16, quick: true},
	{network: "unix", payload: load.Nothing, callers: 16, deadline: time.Second},
	{network: "unix", payload: load.Nothing, callers: 256, quick: true},
	{network: "unix", payload: load.Nothing, callers: 2000},
	{network: "unix", payload: load.Struct, callers: 1, oneCPU: true},
	{network: "unix", payload: load.Struct, callers: 16, quick: true},
	{network: "unix", payload: load.Struct, callers: 256},
	{network: "unix", payload: load.Struct, callers: 2000},
	{network: "unix", payload: load.Large, callers: 1, oneCPU: true},
	{network: "unix", payload: load.Large, callers: 16, quick: true},
	{network: "unix", payload: load.Large, callers: 256},
	{network: "unix", payload: load.Huge, callers: 1},
	{network: "unix", payload: load.Huge, callers: 16},

	{network: "tcp", payload: load.Nothing, callers: 1, oneCPU: true},
	{network: "tcp", payload: load.Nothing, callers: 16, quick: true},
	{network: "tcp", payload: load.Nothing, callers: 16, deadline: time.Second},
	{network: "tcp", payload: load.Nothing, callers: 256, quick: true},
	{network: "tcp", payload: load.Nothing, callers: 2000},
	{network: "tcp", payload: load.Struct, callers: 16, quick: true},
	{network: "tcp", payload: load.Struct, callers: 256},
	{network: "tcp", payload: load.Large, callers: 1, oneCPU: true},
	{network: "tcp", payload: load.Large, callers: 16, quick: true},
	{network: "tcp", payload: load.Huge, callers: 1},

	{network: "tls", payload: load.Nothing, callers: 1, oneCPU: true},
	{network: "tls", payload: load.Nothing, callers: 16},
	{network: "tls", payload: load.Struct, callers: 16},
	{network: "tls", payload: load.Large, callers: 16},
	{network: "tls", payload: load.Huge, callers: 1},
}

// options say what is measured.
type options struct {
	rounds int
	took   time.Duration
	only   []string // rivals; all if there are none
	cases  string
	quick  bool
}

// result is one measurement of one rival.
type result struct {
	load.Load
	server load.Usage // of the process that answers
}

// cpu is the processor time of both processes for a call, in microseconds.
func (r result) cpu() float64 {
	return float64((r.Used.CPU + r.server.CPU).Nanoseconds()) / float64(r.Calls) / 1e3
}

// outcome is what was measured of a rival in a case, round by round, unless the case has failed.
type outcome struct {
	rounds []result
	failed error
}

// results are by case and rival.
type results map[measurement]map[string]*outcome

// rounds are those of a rival in a case.
func (r results) rounds(m measurement, rival string) []result {
	if of := r[m][rival]; of != nil {
		return of.rounds
	}
	return nil
}

// selected returns the cases that are measured.
func (o options) selected() (list []measurement) {
	for _, m := range measurements {
		if strings.Contains(m.String(), o.cases) && (m.quick || !o.quick) {
			list = append(list, m)
		}
	}
	return list
}

// measure measures the selected cases of all rivals. All of them run at the same time and take turns. When it
// is interrupted, there is what was measured in whole rounds, and the number of those.
func (o options) measure(ctx context.Context) (all results, rounds int, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var contenders []*contender
	for _, r := range rivals {
		if len(o.only) > 0 && !slices.Contains(o.only, r.name) {
			continue
		}
		for _, network := range []string{"unix", "tcp", "tls"} {
			c := &contender{contestant: r, network: network}
			defer c.end()
			contenders = append(contenders, c)
		}
	}

	all = results{}
	for round := range o.rounds {
		for _, m := range o.selected() {
			part := slices.DeleteFunc(slices.Clone(contenders), func(c *contender) bool { return c.network != m.network || c.lacks(m) != "" })
			if err := o.round(ctx, all, m, part, round); err != nil {
				all.cut(round)
				return all, round, err
			}
		}
		fmt.Fprintf(os.Stderr, "calls: round %d of %d\n", round+1, o.rounds)
	}
	return all, o.rounds, nil
}

// cut leaves a number of rounds, and nothing of later ones.
func (r results) cut(rounds int) {
	for _, rivals := range r {
		for _, of := range rivals {
			of.rounds = of.rounds[:min(rounds, len(of.rounds))]
		}
	}
}

// round measures one case of all rivals once. A rival that fails in a case is left out of it from then on.
func (o options) round(ctx context.Context, all results, m measurement, contenders []*contender, round int) error {
	if all[m] == nil {
		all[m] = map[string]*outcome{}
	}
	for i := range contenders {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		c := contenders[(i+round)%len(contenders)] // nobody is always the first
		of := all[m][c.name]
		if of == nil {
			of = new(outcome)
			all[m][c.name] = of
		}
		if of.failed != nil {
			continue
		}

		r, err := c.measure(ctx, m, o.took)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			fmt.Fprintf(os.Stderr, "%s, %v: %v\n", c.name, m, err)
			of.failed = err
			continue
		}
		of.rounds = append(of.rounds, r)
	}
	return nil
}
