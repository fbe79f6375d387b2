package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/divisi-go/divisi/bench/load"
)

// pair is the two processes of a rival over one network.
type pair struct {
	client, server *load.Worker
	dir            string
}

// contender is a rival on a network. Its processes start when they are needed, and again when they have failed.
type contender struct {
	contestant
	network  string
	pair     *pair // nil before, and after a failure
	failures int   // in a row
}

// failuresMost is how often in a row a rival may fail before nobody waits for it again.
const failuresMost = 3

func (c *contender) measure(ctx context.Context, m measurement, took time.Duration) (r result, err error) {
	if c.failures == failuresMost {
		return r, fmt.Errorf("it failed %d times in a row before", c.failures)
	}
	if c.pair == nil {
		c.pair, err = newPair(ctx, c.name, c.rival, c.network)
	}
	if err == nil {
		r, err = c.pair.measure(m, took)
	}
	if err == nil && r.Calls == 0 {
		err = errors.New("no call was answered")
	}

	if err != nil {
		c.failures++
		c.end()
		return r, err
	}
	c.failures = 0
	return r, nil
}

func (c *contender) end() {
	if c.pair != nil {
		c.pair.end()
		c.pair = nil
	}
}

// newPair starts both processes. They end when their orders do.
func newPair(ctx context.Context, name string, r rival, network string) (*pair, error) {
	dir, err := os.MkdirTemp("/tmp", "bench") // paths of sockets are short
	if err != nil {
		return nil, err
	}
	p := &pair{dir: dir}
	desk, err := load.NewDesk(dir)
	if err != nil {
		return p, err
	}
	defer desk.Close()
	e, err := newEndpoint(network, dir)
	if err != nil {
		return p, err
	}
	return p, p.start(ctx, desk, name, r, e)
}

// start starts the processes, and waits until both have said who they are.
func (p *pair) start(ctx context.Context, desk *load.Desk, name string, r rival, e endpoint) error {
	started := make(chan error, 1)
	go func() { started <- r.start(ctx, name, e) }()
	for p.client == nil || p.server == nil {
		w, err := desk.Hire(ctx)
		if err != nil {
			return fmt.Errorf("%s does not start over %s: %w", name, e.network, err)
		}
		if strings.HasSuffix(w.Role, "/client") {
			p.client = w
		} else {
			p.server = w
		}
	}
	return <-started
}

// end ends the processes.
func (p *pair) end() {
	for _, one := range []*load.Worker{p.client, p.server} {
		if one != nil {
			one.Dismiss()
		}
	}
	os.RemoveAll(p.dir)
}

// measure measures one case, after calls that are not counted.
func (p *pair) measure(m measurement, took time.Duration) (result, error) {
	for _, one := range []*load.Worker{p.client, p.server} {
		if err := pin(one.Conn(), m.oneCPU); err != nil {
			return result{}, err
		}
	}
	o := load.Order{Run: true, Payload: m.payload, Callers: m.callers, Time: took / 5, Deadline: m.deadline}
	if _, err := p.client.Ask(o); err != nil {
		return result{}, err
	}
	before, err := p.server.Ask(load.Order{})
	if err != nil {
		return result{}, err
	}
	o.Time = took
	ran, err := p.client.Ask(o)
	if err != nil {
		return result{}, err
	}
	after, err := p.server.Ask(load.Order{})
	return result{Load: ran.Load, server: after.Usage.Since(before.Usage)}, err
}
