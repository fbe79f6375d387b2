package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"
)

// options say what is measured.
type options struct {
	rounds  int
	took    time.Duration
	systems []system
	cases   string
}

// result is one measurement of one system.
type result struct {
	load
	server usage // of the process that answers
}

// cpu is the processor time of both processes for a call, in microseconds.
func (r result) cpu() float64 {
	return float64((r.Used.CPU + r.server.CPU).Nanoseconds()) / float64(r.Calls) / 1e3
}

// results are by case, system and round.
type results map[measurement]map[string][]result

// measure measures all cases of all systems.
func (o options) measure(ctx context.Context) (results, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var pairs []*pair
	for _, s := range o.systems {
		dir, err := os.MkdirTemp("/tmp", "bench") // paths of sockets are short
		if err != nil {
			return nil, err
		}
		defer os.RemoveAll(dir)
		p, err := s.start(ctx, dir)
		if err != nil {
			return nil, err
		}
		defer p.end()
		pairs = append(pairs, p)
	}

	all := results{}
	for round := range o.rounds {
		for _, m := range measurements {
			if !strings.Contains(m.String(), o.cases) {
				continue
			}
			if all[m] == nil {
				all[m] = map[string][]result{}
			}
			for i := range pairs {
				p := pairs[(i+round)%len(pairs)] // nobody is always the first
				if p.stalls != nil && p.stalls(m) {
					continue
				}
				r, err := p.measure(ctx, m, o.took)
				if err != nil {
					return nil, fmt.Errorf("%s, %v: %w", p.name, m, err)
				}
				all[m][p.name] = append(all[m][p.name], r)
			}
		}
		fmt.Fprintf(os.Stderr, "round %d of %d\n", round+1, o.rounds)
	}
	return all, nil
}

// measure measures one case, after calls that are not counted.
func (p *pair) measure(ctx context.Context, m measurement, took time.Duration) (result, error) {
	if ctx.Err() != nil {
		return result{}, ctx.Err()
	}
	for _, one := range []*process{p.client, p.server} {
		if err := pin(one.pid, m.oneCPU); err != nil {
			return result{}, err
		}
	}
	o := order{Run: true, Payload: m.payload, Callers: m.callers, Time: took / 5, Deadline: m.deadline}
	if _, err := p.client.ask(o); err != nil {
		return result{}, err
	}
	before, err := p.server.ask(order{})
	if err != nil {
		return result{}, err
	}
	o.Time = took
	ran, err := p.client.ask(o)
	if err != nil {
		return result{}, err
	}
	after, err := p.server.ask(order{})
	return result{load: ran.Load, server: after.Usage.since(before.Usage)}, err
}
