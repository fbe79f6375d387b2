package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/divisi-go/divisi/bench/load"
)

// patience is how long a process may take to start, or a measurement to end.
const patience = 30 * time.Second

// process is a process that takes orders.
type process struct {
	conn net.Conn
	in   *json.Decoder
	out  *json.Encoder
	pid  int
}

// ask gives an order and returns the answer.
func (p *process) ask(o load.Order) (a load.Answer, err error) {
	if err := p.conn.SetDeadline(time.Now().Add(o.Time + patience)); err != nil {
		return a, err
	}
	if err := p.out.Encode(o); err != nil {
		return a, err
	}
	if err := p.in.Decode(&a); err != nil {
		return a, err
	}
	if a.Err != "" {
		return a, fmt.Errorf("%s", a.Err)
	}
	return a, nil
}

// pair is the two processes of a rival over one network.
type pair struct {
	client, server *process
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
	control, err := net.Listen("unix", filepath.Join(dir, "control"))
	if err != nil {
		return p, err
	}
	defer control.Close()
	e, err := newEndpoint(network, dir)
	if err != nil {
		return p, err
	}

	started := make(chan error, 1)
	go func() { started <- r.start(ctx, name, e) }()
	if err := p.accept(control); err != nil {
		return p, fmt.Errorf("%s does not start over %s: %w", name, network, err)
	}
	return p, <-started
}

// accept waits until both processes have said who they are.
func (p *pair) accept(control net.Listener) error {
	for p.client == nil || p.server == nil {
		if err := control.(*net.UnixListener).SetDeadline(time.Now().Add(patience)); err != nil {
			return err
		}
		conn, err := control.Accept()
		if err != nil {
			return err
		}
		peer := &process{conn: conn, in: json.NewDecoder(conn), out: json.NewEncoder(conn)}
		var hello load.Answer
		if err := peer.in.Decode(&hello); err != nil {
			return err
		}
		if peer.pid, err = pidOf(conn); err != nil {
			return err
		}
		if strings.HasSuffix(hello.Role, "/client") {
			p.client = peer
		} else {
			p.server = peer
		}
	}
	return nil
}

// end ends the processes.
func (p *pair) end() {
	for _, one := range []*process{p.client, p.server} {
		if one != nil {
			one.conn.Close()
		}
	}
	os.RemoveAll(p.dir)
}

// measure measures one case, after calls that are not counted.
func (p *pair) measure(m measurement, took time.Duration) (result, error) {
	for _, one := range []*process{p.client, p.server} {
		if err := pin(one.pid, m.oneCPU); err != nil {
			return result{}, err
		}
	}
	o := load.Order{Run: true, Payload: m.payload, Callers: m.callers, Time: took / 5, Deadline: m.deadline}
	if _, err := p.client.ask(o); err != nil {
		return result{}, err
	}
	before, err := p.server.ask(load.Order{})
	if err != nil {
		return result{}, err
	}
	o.Time = took
	ran, err := p.client.ask(o)
	if err != nil {
		return result{}, err
	}
	after, err := p.server.ask(load.Order{})
	return result{Load: ran.Load, server: after.Usage.Since(before.Usage)}, err
}
