package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"
)

// result is what was measured of a system in a line of the table.
type result struct {
	case_, line, system string
	columns             []string // what the figures are
	rounds              [][]float64
}

// benchmark is one case.
type benchmark struct {
	name    string
	about   string
	columns []string
	setting setting
	// lines measures all lines of the table once.
	lines func(c *crew, took time.Duration, add func(line string, figures ...float64)) error
}

func (b *benchmark) matches(only string) bool { return strings.Contains(b.name, only) }

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
		setting: setting{servers: 1, single: true},
		lines:   overload,
	},
	{
		name:    "waiting",
		about:   "64 callers call a method that waits 2 ms. *Rate* is of what there would be if nothing else took time.",
		columns: []string{"rate"},
		setting: setting{servers: 1},
		lines: func(c *crew, took time.Duration, add func(string, ...float64)) error {
			s, err := c.ask(order{Task: Task{Wait: wait}, Callers: callers, Time: took})
			ideal := callers / wait.Seconds() * s.Time.Seconds()
			add("64 callers", float64(s.Good)/ideal)
			return err
		},
	},
	{
		name:    "crowd",
		about:   "2,000 callers on one connection call a method that does nothing.",
		columns: []string{"p50 ms", "p99.9 / p50", "calls/s"},
		setting: setting{servers: 1},
		lines: func(c *crew, took time.Duration, add func(string, ...float64)) error {
			s, err := c.ask(order{Callers: 2000, Time: took})
			add("2,000 callers", ms(s.P50), ratio(s.P999, s.P50), float64(s.Good)/s.Time.Seconds())
			return err
		},
	},
	{
		name:    "large",
		about:   "4 callers call a method that does nothing, while another one has 10 MB sent to and fro on the same connection.",
		columns: []string{"p50 / p50 alone", "p99 ms", "p99 ms alone", "calls/s"},
		setting: setting{servers: 1},
		lines: func(c *crew, took time.Duration, add func(string, ...float64)) error {
			alone, err := c.ask(order{Callers: 4, Time: took})
			if err != nil {
				return err
			}
			s, err := c.ask(order{Callers: 4, Time: took, Beside: &Task{Body: make([]byte, 10<<20)}})
			add("4 callers", ratio(s.P50, alone.P50), ms(s.P99), ms(alone.P99), float64(s.Good)/s.Time.Seconds())
			return err
		},
	},
	{
		name:    "ten replicas",
		about:   "64 callers call ten replicas of a method that waits 5 ms.",
		columns: []string{"p50 ms", "p99 ms", "p99.9 ms"},
		setting: setting{servers: 10},
		lines:   replicas("all alike"),
	},
	{
		name:    "one slow replica",
		about:   "The same, with one replica that takes ten times as long.",
		columns: []string{"p50 ms", "p99 ms", "p99.9 ms"},
		setting: setting{servers: 10, slow: true},
		lines:   replicas("one is slow"),
	},
}

func ms(d time.Duration) float64 { return d.Seconds() * 1000 }

func ratio(a, b time.Duration) float64 { return float64(a) / float64(max(b, 1)) }

func overload(c *crew, took time.Duration, add func(string, ...float64)) error {
	task := Task{Compute: heavy}
	s, err := c.ask(order{Task: task, Callers: 4, Time: took})
	if err != nil {
		return err
	}
	peak := float64(s.Good) / s.Time.Seconds()
	perCall := s.Used.Seconds() / float64(s.Good)
	for _, load := range []float64{0.5, 0.85, 1, 2, 3, 5} {
		s, err := c.ask(order{Task: task, Deadline: deadline, Rate: load * peak, Time: took})
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
		o := order{Task: Task{Wait: 5 * time.Millisecond}, Callers: callers, Time: took}
		if _, err := c.ask(o); err != nil { // and who is slow becomes known
			return err
		}
		s, err := c.ask(o)
		add(line, ms(s.P50), ms(s.P99), ms(s.P999))
		return err
	}
}

// measure measures a case with all systems, round by round.
func (b *benchmark) measure(ctx context.Context, rounds int, took time.Duration) ([]result, error) {
	var results []result
	crews := make([]*crew, len(systems))
	for i := range systems {
		dir, err := os.MkdirTemp("", "overload")
		if err != nil {
			return nil, err
		}
		defer os.RemoveAll(dir)
		if crews[i], err = systems[i].start(ctx, dir, &b.setting); err != nil {
			return nil, err
		}
		defer crews[i].end()
	}

	for range rounds {
		for i, c := range crews {
			err := b.lines(c, took, func(line string, figures ...float64) {
				for at := range results {
					if r := &results[at]; r.line == line && r.system == systems[i].name {
						r.rounds = append(r.rounds, figures)
						return
					}
				}
				results = append(results, result{b.name, line, systems[i].name, b.columns, [][]float64{figures}})
			})
			if err != nil {
				return nil, fmt.Errorf("%s: %w", systems[i].name, err)
			}
		}
	}
	return results, nil
}
