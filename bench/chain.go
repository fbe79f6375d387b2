package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/divisi-go/divisi/bench/load"
	"github.com/divisi-go/divisi/bench/report"
)

// deployment is processes of the program bench/chain while they run.
type deployment struct {
	home    string // a folder of its own
	desk    *load.Desk
	workers []*load.Worker
	started []*os.Process
	exits   []chan struct{} // of these
}

// deploy starts programs, which get their orders from a desk, and waits for a number of them. A program is its
// command line, and a role.
func (b *bench) deploy(ctx context.Context, roles []string, hired int, command ...string) (d *deployment, err error) {
	d = new(deployment)
	if d.home, err = os.MkdirTemp("/tmp", "chain"); err != nil { // paths of sockets are short
		return d, err
	}
	if d.desk, err = load.NewDesk(d.home); err != nil {
		return d, err
	}
	for _, role := range roles {
		if err := d.start(role, command); err != nil {
			return d, err
		}
	}
	for range hired {
		w, err := d.desk.Hire(ctx)
		if err != nil {
			return d, fmt.Errorf("%s: %w", strings.Join(command, " "), err)
		}
		d.workers = append(d.workers, w)
		if w.Role == roles[0] {
			d.workers[0], d.workers[len(d.workers)-1] = w, d.workers[0]
		}
	}
	return d, nil
}

func (d *deployment) start(role string, command []string) error {
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Env = append(os.Environ(), "DIVISI_HOME="+filepath.Join(d.home, "state"), "XDG_RUNTIME_DIR="+d.home,
		load.RoleVariable+"="+role, load.ControlVariable+"="+d.desk.Control())
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return err
	}
	d.started = append(d.started, cmd.Process)
	exited := make(chan struct{})
	d.exits = append(d.exits, exited)
	go func() {
		defer close(exited)
		_ = cmd.Wait() // it ends when it is dismissed
	}()
	return nil
}

// end ends the processes, and returns when those that it has started itself have ended.
func (d *deployment) end() {
	for _, w := range d.workers {
		w.Dismiss()
	}
	if len(d.workers) == 0 {
		d.interrupt()
	}
	for _, exited := range d.exits {
		select {
		case <-exited:
		case <-time.After(load.Patience):
			fmt.Fprintln(os.Stderr, "a process of bench/chain does not end by itself")
			d.interrupt()
		}
	}
	if d.desk != nil {
		d.desk.Close()
	}
	os.RemoveAll(d.home)
}

// interrupt asks all processes to end, for nobody tells them that there is nothing more to do.
func (d *deployment) interrupt() {
	for _, p := range d.started {
		_ = p.Signal(os.Interrupt)
	}
}

// ask has the first process make calls.
func (d *deployment) ask(o load.Order) (load.Load, error) {
	o.Run = true
	a, err := d.workers[0].Ask(o)
	return a.Load, err
}

// whole runs the application as eleven processes, or with more replicas of its last component.
func (b *bench) whole(ctx context.Context, replicas string) (*deployment, error) {
	return b.deploy(ctx, []string{"divisi"}, 1, b.program("divisi"), "run", "--colocate", "none", "--replicas", replicas,
		"--admin", "", "--logs=false", b.program("chain"))
}

// numbered returns roles of processes that are told apart by their numbers.
func numbered(role string) (roles []string) {
	for i := range load.ChainLength + 1 {
		roles = append(roles, fmt.Sprintf("%s/%d", role, i))
	}
	return roles
}

// chain measures calls that ten components pass on.
func (b *bench) chain(ctx context.Context) error {
	took, rounds := 2*time.Second, 3
	if b.short {
		took, rounds = 100*time.Millisecond, 1
	}
	ways := []struct {
		text    string
		payload load.Payload
		times   float64
		deploy  func() (*deployment, error)
	}{
		{"plain calls in a process", load.Often, load.OftenTimes, func() (*deployment, error) {
			return b.deploy(ctx, []string{load.PlainChain}, 1, b.program("chain"))
		}},
		{"Divisi, one process", load.Often, load.OftenTimes, func() (*deployment, error) {
			return b.deploy(ctx, []string{"divisi"}, 1, b.program("chain"))
		}},
		{"Divisi, eleven processes", load.Nothing, 1, func() (*deployment, error) { return b.whole(ctx, "1") }},
		{"gRPC, eleven processes", load.Nothing, 1, func() (*deployment, error) {
			return b.deploy(ctx, numbered(load.GRPCChain), load.ChainLength+1, b.program("chain"))
		}},
	}

	var failed error
	t := report.NewTable("", "p50 µs", "p99 µs", "µs a hop", "calls/s of 16 callers")
	figures := report.Figures{}
	for _, way := range ways {
		var p50, p99, hop, rate []float64
		err := func() error {
			d, err := way.deploy()
			defer d.end()
			if err == nil { // and all are ready
				_, err = d.ask(load.Order{Payload: way.payload, Callers: 16, Time: took / 4})
			}
			for range rounds {
				var one, many load.Load
				if err == nil {
					one, err = d.ask(load.Order{Payload: way.payload, Callers: 1, Time: took})
				}
				if err == nil {
					many, err = d.ask(load.Order{Payload: way.payload, Callers: 16, Time: took})
				}
				if err != nil {
					return err
				}
				µs := func(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e3 / way.times }
				p50, p99 = append(p50, µs(one.P50)), append(p99, µs(one.P99))
				hop = append(hop, µs(one.P50)/load.ChainLength)
				rate = append(rate, float64(many.Calls)*way.times/many.Took.Seconds())
			}
			return nil
		}()
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("%s: %w", way.text, err))
			t.Add(way.text, "failed", "", "", "")
			continue
		}
		t.Add(way.text, report.Spread(p50), report.Spread(p99), report.Spread(hop), report.Spread(rate))
		figures.Set(report.Median(hop), "chain", way.text, "hop")
	}
	return errors.Join(failed, b.keep("chain", figures, t))
}

// ready measures how long it takes until a call has gone through all processes.
func (b *bench) ready(ctx context.Context) error {
	rounds := 9
	if b.short {
		rounds = 1
	}
	ways := []struct {
		text   string
		calls  bool
		deploy func() (*deployment, error)
	}{
		{"`exec` of the program, which does nothing", false, func() (*deployment, error) {
			return b.deploy(ctx, []string{load.Waiting}, 1, b.program("chain"))
		}},
		{"Divisi, one process", true, func() (*deployment, error) {
			return b.deploy(ctx, []string{"divisi"}, 1, b.program("chain"))
		}},
		{"`exec`, eleven processes that do nothing", false, func() (*deployment, error) {
			return b.deploy(ctx, numbered(load.Waiting), load.ChainLength+1, b.program("chain"))
		}},
		{"Divisi, eleven processes, `divisi run` and its keeper", true, func() (*deployment, error) { return b.whole(ctx, "1") }},
	}

	took := make([][]float64, len(ways))
	failed := make([]error, len(ways))
	for range rounds { // they take turns
		for i, way := range ways {
			if failed[i] != nil || ctx.Err() != nil {
				continue
			}
			begin := time.Now()
			d, err := way.deploy()
			if err == nil && way.calls {
				_, err = d.ask(load.Order{Payload: load.Nothing, Callers: 1, Time: time.Nanosecond})
			}
			took[i] = append(took[i], float64(time.Since(begin).Microseconds())/1e3)
			d.end()
			failed[i] = err
		}
	}

	t := report.NewTable("", "ms")
	figures := report.Figures{}
	for i, way := range ways {
		if failed[i] != nil {
			t.Add(way.text, "failed")
			failed[i] = fmt.Errorf("%s: %w", way.text, failed[i])
			continue
		}
		t.Add(way.text, report.Spread(took[i]))
		figures.Set(report.Median(took[i]), "ready", way.text)
	}
	return errors.Join(errors.Join(failed...), ctx.Err(), b.keep("ready", figures, t))
}
