package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/divisi-go/divisi/bench/load"
	"github.com/divisi-go/divisi/bench/report"
)

// idle measures what processes take that have nothing to do.
func (b *bench) idle(ctx context.Context) error {
	settle, took, looks := 5*time.Second, 20*time.Second, 3
	if b.short {
		settle, took, looks = time.Second, time.Second, 1
	}
	measure := func(deploy func() (*deployment, error), calls bool) ([]idler, error) {
		d, err := deploy()
		defer d.end()
		if err == nil && calls {
			_, err = d.ask(load.Order{Payload: load.Nothing, Callers: 16, Time: 300 * time.Millisecond})
		}
		if err == nil {
			err = pause(ctx, settle)
		}
		var seen []idler // in one of several times 20 s it may be half as much again
		for range looks {
			var more []idler
			if err == nil {
				more, err = d.watch(ctx, took)
			}
			seen = append(seen, more...)
		}
		return seen, err
	}
	waiting, waitingFailed := measure(func() (*deployment, error) {
		return b.deploy(ctx, []string{load.Waiting}, 1, b.program("chain"))
	}, false)
	all, failed := measure(func() (*deployment, error) { return b.whole(ctx, "1,tenth=2") }, true)

	t := report.NewTable("", "% of a core", "switches a second", "MB resident", "MB of its own")
	figures := report.Figures{}
	for _, row := range []struct {
		text, kind string
		of         []idler
	}{
		{"a Go program that waits at a socket", "replica", waiting},
		{"a replica; the middle one of 12", "replica", all},
		{"`divisi run` with 12 of them", "deployer", all},
		{"their keeper", "keeper", all},
	} {
		var cpu, switches, resident, own []float64
		for _, i := range row.of {
			if i.kind == row.kind {
				cpu, switches = append(cpu, i.cpu.Seconds()/took.Seconds()*100), append(switches, float64(i.switches)/took.Seconds())
				resident, own = append(resident, i.resident/1024), append(own, i.own/1024)
			}
		}
		t.Add(row.text, report.Spread(cpu), report.Spread(switches), report.Spread(resident), report.Spread(own))
		if row.text != "a Go program that waits at a socket" {
			figures.Set(report.Median(cpu), "idle", row.kind, "cpu")
		}
	}
	return errors.Join(waitingFailed, failed, b.keep("idle", figures, t))
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// idler is a process that has nothing to do, and what it has taken.
type idler struct {
	pid           int
	kind          string // replica, deployer or keeper
	cpu           time.Duration
	switches      uint64  // that it has made itself, by waiting
	resident, own float64 // KB
}

// watch returns the processes of a deployment, and what they take meanwhile.
func (d *deployment) watch(ctx context.Context, took time.Duration) ([]idler, error) {
	before, err := d.idlers()
	if err != nil {
		return nil, err
	}
	if err := pause(ctx, took); err != nil {
		return nil, err
	}
	after, err := d.idlers()
	if err != nil {
		return nil, err
	}
	if len(before) != len(after) {
		return nil, fmt.Errorf("there were %d processes, and then %d", len(before), len(after))
	}
	for i := range after {
		if after[i].pid != before[i].pid {
			return nil, fmt.Errorf("process %d has been replaced by process %d", before[i].pid, after[i].pid)
		}
		after[i].cpu -= before[i].cpu
		after[i].switches -= before[i].switches
	}
	return after, nil
}

// idlers returns the processes of a deployment, in the order of their numbers as text: those that have its
// folder in their environments or arguments.
func (d *deployment) idlers() (list []idler, err error) {
	folders, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil, err
	}
	for _, folder := range folders {
		arguments, err1 := os.ReadFile(filepath.Join(folder, "cmdline"))
		environment, err2 := os.ReadFile(filepath.Join(folder, "environ"))
		if err1 != nil || err2 != nil || !bytes.Contains(append(arguments, environment...), []byte(d.home)) {
			continue // somebody else's, or it has ended
		}
		one := idler{kind: "replica"}
		if one.pid, err = strconv.Atoi(filepath.Base(folder)); err != nil {
			return nil, err
		}
		words := strings.Split(string(arguments), "\x00")
		switch {
		case len(words) > 1 && words[1] == "keeper":
			one.kind = "keeper"
		case len(words) > 1 && words[1] == "run":
			one.kind = "deployer"
		}
		if err := one.look(folder); err != nil {
			return nil, err
		}
		list = append(list, one)
	}
	return list, nil
}

// look reads what a process has taken.
func (i *idler) look(folder string) error {
	threads, err := filepath.Glob(filepath.Join(folder, "task", "*"))
	if err != nil {
		return err
	}
	for _, thread := range threads {
		text, err := os.ReadFile(filepath.Join(thread, "schedstat"))
		if err != nil {
			return err
		}
		var ns int64
		if _, err := fmt.Sscan(string(text), &ns); err != nil {
			return fmt.Errorf("%s: %w", filepath.Join(thread, "schedstat"), err)
		}
		i.cpu += time.Duration(ns)
		switches, err := field(filepath.Join(thread, "status"), "voluntary_ctxt_switches")
		if err != nil {
			return err
		}
		i.switches += uint64(switches)
	}
	if i.resident, err = field(filepath.Join(folder, "smaps_rollup"), "Rss"); err != nil {
		return err
	}
	i.own, err = field(filepath.Join(folder, "smaps_rollup"), "Private_Dirty")
	return err
}

// field returns a number of a file of lines such as "Rss: 300 kB".
func field(file, name string) (float64, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if key, value, _ := strings.Cut(line, ":"); key == name {
			var number float64
			_, err := fmt.Sscan(value, &number)
			return number, err
		}
	}
	return 0, fmt.Errorf("%s has no %s", file, name)
}
