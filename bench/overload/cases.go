package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/divisi-go/divisi/bench/overload/work"
)

// result is what was measured of a system in a line of the table.
type result struct {
	line, system string
	rounds       [][]float64 // a figure for each column of the case
}

// benchmark is one case.
type benchmark struct {
	name    string
	about   string
	columns []string
	setting work.Setting
	// lines measures all lines of the table once.
	lines func(c *crew, took time.Duration, add func(line string, figures ...float64)) error
}

const (
	heavy    = 500 * time.Microsecond
	deadline = 50 * time.Millisecond
	wait     = 2 * time.Millisecond
	callers  = 64
)

var cases = []benchmark{
	{
		name: "overload",
		about: "A server with one processor computes about half a millisecond for each call. Calls come at a rate that is " +
			"a multiple of the peak, which is what it does for 4 callers without deadlines; each has 50 ms. The peak is that of the " +
			"processor time that the server got, so that other work on the machine does not count.",
		columns: []string{"calls/s answered in time, of the peak", "not answered in time", "p50 ms", "p99 ms"},
		setting: work.Setting{Servers: 1, Single: true},
		lines:   overload,
	},
	{
		name:    "waiting",
		about:   "64 callers call a method that waits 2 ms. *Rate* is of what there would be if nothing else took time.",
		columns: []string{"rate"},
		setting: work.Setting{Servers: 1},
		lines: func(c *crew, took time.Duration, add func(string, ...float64)) error {
			s, err := c.ask(work.Order{Task: work.Task{Wait: wait}, Callers: callers, Time: took})
			if err != nil {
				return err
			}
			ideal := callers / wait.Seconds() * s.Time.Seconds()
			add("64 callers", float64(s.Good)/ideal)
			return nil
		},
	},
	{
		name:    "crowd",
		about:   "2,000 callers on one connection call a method that does nothing.",
		columns: []string{"p50 ms", "p99.9 / p50", "calls/s"},
		setting: work.Setting{Servers: 1},
		lines: func(c *crew, took time.Duration, add func(string, ...float64)) error {
			s, err := c.ask(work.Order{Callers: 2000, Time: took})
			if err != nil {
				return err
			}
			add("2,000 callers", ms(s.P50), ratio(s.P999, s.P50), float64(s.Good)/s.Time.Seconds())
			return nil
		},
	},
	{
		name:    "large",
		about:   "4 callers call a method that does nothing, while another one has 10 MB sent to and fro on the same connection.",
		columns: []string{"p50 / p50 alone", "p99 ms", "p99 ms alone", "calls/s"},
		setting: work.Setting{Servers: 1},
		lines: func(c *crew, took time.Duration, add func(string, ...float64)) error {
			alone, err := c.ask(work.Order{Callers: 4, Time: took})
			if err != nil {
				return err
			}
			s, err := c.ask(work.Order{Callers: 4, Time: took, Beside: &work.Task{Body: make([]byte, 10<<20)}})
			if err != nil {
				return err
			}
			add("4 callers", ratio(s.P50, alone.P50), ms(s.P99), ms(alone.P99), float64(s.Good)/s.Time.Seconds())
			return nil
		},
	},
	{
		name:    "ten replicas",
		about:   "64 callers call ten replicas of a method that waits 5 ms.",
		columns: []string{"p50 ms", "p99 ms", "p99.9 ms"},
		setting: work.Setting{Servers: 10},
		lines:   replicas("all alike"),
	},
	{
		name:    "one slow replica",
		about:   "The same, with one replica that takes ten times as long.",
		columns: []string{"p50 ms", "p99 ms", "p99.9 ms"},
		setting: work.Setting{Servers: 10, Slow: true},
		lines:   replicas("one is slow"),
	},
}

func ms(d time.Duration) float64 { return d.Seconds() * 1000 }

func ratio(a, b time.Duration) float64 { return float64(a) / float64(max(b, 1)) }

func overload(c *crew, took time.Duration, add func(string, ...float64)) error {
	task := work.Task{Compute: heavy}
	s, err := c.ask(work.Order{Task: task, Callers: 4, Time: took})
	if err != nil {
		return err
	}
	peak := float64(s.Good) / s.Time.Seconds()
	perCall := s.Used.Seconds() / float64(s.Good)
	for _, load := range []float64{0.5, 0.85, 1, 2, 3, 5} {
		s, err := c.ask(work.Order{Task: task, Deadline: deadline, Rate: load * peak, Time: took})
		if err != nil {
			return err
		}
		could := load * peak * s.Time.Seconds() // calls that the server had the time for
		if load >= 1 {
			could = s.Used.Seconds() / perCall
		}
		add(fmt.Sprintf("%g times the peak", load), min(load, 1)*float64(s.Good)/could,
			float64(s.Failed)/float64(s.Offers), ms(s.P50), ms(s.P99))
	}
	return nil
}

func replicas(line string) func(*crew, time.Duration, func(string, ...float64)) error {
	return func(c *crew, took time.Duration, add func(string, ...float64)) error {
		o := work.Order{Task: work.Task{Wait: 5 * time.Millisecond}, Callers: callers, Time: took}
		if _, err := c.ask(o); err != nil { // and who is slow becomes known
			return err
		}
		s, err := c.ask(o)
		if err != nil {
			return err
		}
		add(line, ms(s.P50), ms(s.P99), ms(s.P999))
		return nil
	}
}

// team is a system that takes part in a case.
type team struct {
	system
	dir    string
	crew   *crew
	failed error // it does no longer take part
}

// measure measures a case with all systems, round by round. A system that fails is left out from then on.
func (b *benchmark) measure(ctx context.Context, rounds int, took time.Duration) (outcome, error) {
	var teams []*team
	for _, s := range taking() {
		t := &team{system: s}
		teams = append(teams, t)
		var err error
		if t.dir, err = os.MkdirTemp("", "overload"); err != nil {
			return outcome{}, err
		}
		defer os.RemoveAll(t.dir)
		if t.crew, t.failed = s.start(ctx, t.dir, b.setting); t.failed == nil {
			defer t.crew.end()
		}
	}

	out := outcome{benchmark: b, failed: map[string]error{}}
	for range rounds {
		for _, t := range teams {
			if t.failed == nil {
				t.failed = b.lines(t.crew, took, func(line string, figures ...float64) { out.add(line, t.name, figures) })
			}
			if ctx.Err() != nil {
				return out, ctx.Err()
			}
		}
	}
	for _, t := range teams {
		if t.failed != nil {
			fmt.Fprintf(os.Stderr, "%s, %s: %v\n", b.name, t.name, t.failed)
			out.failed[t.name] = t.failed
		}
	}
	return out, nil
}

// outcome is what was measured in a case.
type outcome struct {
	*benchmark
	results []result
	failed  map[string]error // by system
}

func (o *outcome) add(line, system string, figures []float64) {
	at := slices.IndexFunc(o.results, func(r result) bool { return r.line == line && r.system == system })
	if at < 0 {
		o.results = append(o.results, result{line: line, system: system})
		at = len(o.results) - 1
	}
	o.results[at].rounds = append(o.results[at].rounds, figures)
}

// column returns a figure of all rounds.
func (r *result) column(i int) (values []float64) {
	for _, round := range r.rounds {
		values = append(values, round[i])
	}
	return values
}
