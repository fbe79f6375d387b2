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

// results are by case, rival and round.
type results map[measurement]map[string][]result

// selected returns the cases that are measured.
func (o options) selected() (list []measurement) {
	for _, m := range measurements {
		if strings.Contains(m.String(), o.cases) && (m.quick || !o.quick) {
			list = append(list, m)
		}
	}
	return list
}

// measure measures the selected cases of all rivals. All of them run at the same time and take turns.
func (o options) measure(ctx context.Context) (results, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	cases := o.selected()
	pairs := map[string][]*pair{} // by network
	for _, network := range []string{"unix", "tcp", "tls"} {
		if !slices.ContainsFunc(cases, func(m measurement) bool { return m.network == network }) {
			continue
		}
		for _, r := range rivals {
			if len(o.only) > 0 && !slices.Contains(o.only, r.name) || r.lacks(measurement{network: network}) != "" {
				continue
			}
			p, err := newPair(ctx, r.name, r.rival, network)
			if p != nil {
				defer p.end()
			}
			if err != nil {
				return nil, err
			}
			pairs[network] = append(pairs[network], p)
		}
	}

	all := results{}
	for round := range o.rounds {
		for _, m := range cases {
			if err := o.round(ctx, all, m, pairs[m.network], round); err != nil {
				return nil, err
			}
		}
		fmt.Fprintf(os.Stderr, "round %d of %d\n", round+1, o.rounds)
	}
	return all, nil
}

// round measures one case of all rivals once.
func (o options) round(ctx context.Context, all results, m measurement, pairs []*pair, round int) error {
	if all[m] == nil {
		all[m] = map[string][]result{}
	}
	for i := range pairs {
		p := pairs[(i+round)%len(pairs)] // nobody is always the first
		if p.rival.lacks(m) != "" {
			continue
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		r, err := p.measure(m, o.took)
		if err != nil {
			return fmt.Errorf("%s, %v: %w", p.name, m, err)
		}
		all[m][p.name] = append(all[m][p.name], r)
	}
	return nil
}
