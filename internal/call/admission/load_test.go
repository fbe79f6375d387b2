package admission

import (
	"math/rand/v2"
	"testing"
	"time"
)

const (
	step  = 50 * time.Microsecond
	slice = 10 * time.Millisecond // after which a goroutine makes room for others
	tick  = time.Millisecond
)

// work is what a handler does: it computes, and waits between the first half and the second.
type work struct {
	computes, waits, deadline time.Duration
}

// goroutine runs on a machine.
type goroutine struct {
	call *Call // nil for one that computes for ever
	work work
	done time.Duration // of what it computes
	ran  time.Duration // in this slice
	back time.Time     // when it has waited enough
}

// machine is a server in virtual time: processors with one queue of goroutines, as the Go scheduler is.
type machine struct {
	gate    *Gate
	now     time.Time
	running []*goroutine // by processor
	ready   []*goroutine
	waiting []*goroutine
	inTime  int // calls answered so
	refused int
	arrived int
}

func newMachine(processors int) *machine {
	m := &machine{now: time.Unix(0, 0), running: make([]*goroutine, processors)}
	m.gate = NewGate(processors, 4096, func() int { return processors - len(m.ready) })
	return m
}

func (m *machine) arrive(w work, l *Line) {
	m.arrived++
	c := &Call{Line: l, Arrived: m.now}
	if w.deadline > 0 {
		c.Deadline = m.now.Add(w.deadline)
	}
	g := &goroutine{call: c, work: w}
	c.Subject = g
	if m.gate.Enter(c, m.now) {
		m.start(c)
	} else {
		m.look()
	}
}

func (m *machine) start(c *Call) {
	m.ready = append(m.ready, c.Subject.(*goroutine))
}

func (m *machine) look() {
	if m.gate.Waiting() == 0 {
		return
	}
	v := m.gate.Look(m.now)
	m.refused += len(v.Refuse)
	for _, c := range v.Begin {
		m.start(c)
	}
}

// step lets time pass.
func (m *machine) step() {
	m.now = m.now.Add(step)
	var still []*goroutine
	for _, g := range m.waiting {
		if m.now.Before(g.back) {
			still = append(still, g)
		} else {
			m.ready = append(m.ready, g)
		}
	}
	m.waiting = still
	for p, g := range m.running {
		if g != nil {
			m.running[p] = m.compute(g)
		}
		if m.running[p] == nil && len(m.ready) > 0 {
			m.running[p], m.ready = m.ready[0], m.ready[1:]
			m.running[p].ran = 0
		}
	}
	if m.now.Sub(time.Unix(0, 0))%tick == 0 {
		m.look()
	}
}

// compute lets a goroutine compute, and returns it if it goes on.
func (m *machine) compute(g *goroutine) *goroutine {
	before := g.done
	g.done += step
	g.ran += step
	half := g.work.computes / 2
	switch {
	case g.call != nil && g.done >= g.work.computes:
		m.end(g.call)
		return nil
	case g.work.waits > 0 && before < half && g.done >= half:
		g.back = m.now.Add(g.work.waits)
		m.waiting = append(m.waiting, g)
		return nil
	case g.ran >= slice:
		m.ready = append(m.ready, g)
		return nil
	}
	return g
}

func (m *machine) end(c *Call) {
	if c.Deadline.IsZero() || m.now.Before(c.Deadline) {
		m.inTime++
	}
	m.gate.Leave(c, m.now)
	m.look()
}

// TestLoad: whatever is asked of a server, it answers as many calls in time as it could if it knew which
// ones to begin, and refuses none that it has time for.
func TestLoad(t *testing.T) {
	for _, test := range []struct {
		name       string
		processors int
		work       work
		load       float64 // times what the processors can do
		hogs       int     // goroutines that compute all the time
		good       float64 // of what could be answered in time, at least
		refuses    bool
	}{
		{"half", 1, work{ms / 2, 0, 50 * ms}, 0.5, 0, 0.95, false},
		{"nearly all", 1, work{ms / 2, 0, 50 * ms}, 0.85, 0, 0.95, false},
		{"twice", 1, work{ms / 2, 0, 50 * ms}, 2, 0, 0.9, true},
		{"three times", 1, work{ms / 2, 0, 50 * ms}, 3, 0, 0.9, true},
		{"five times", 1, work{ms / 2, 0, 50 * ms}, 5, 0, 0.9, true},
		{"twice on eight", 8, work{ms / 2, 0, 50 * ms}, 2, 0, 0.9, true},
		{"twice with waits", 1, work{ms / 2, 5 * ms, 50 * ms}, 2, 0, 0.9, true},
		{"twice with long waits", 2, work{ms / 2, 20 * ms, 150 * ms}, 2, 0, 0.9, true},
		{"most with waits", 2, work{ms / 2, 20 * ms, 150 * ms}, 0.85, 0, 0.95, false},
		{"twice with little time", 1, work{ms / 2, 0, 5 * ms}, 2, 0, 0.8, true},
		{"twice, long", 1, work{20 * ms, 0, 200 * ms}, 2, 0, 0.9, true},
		{"twice, longer", 2, work{100 * ms, 0, 1000 * ms}, 2, 0, 0.8, true},
		{"beside others", 2, work{ms / 2, 0, 500 * ms}, 0.3, 8, 0.95, false},
		{"no deadline", 1, work{ms / 2, 0, 0}, 0.9, 0, 0.95, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := newMachine(test.processors)
			for range test.hogs {
				m.ready = append(m.ready, &goroutine{work: work{}})
			}
			rnd := rand.New(rand.NewPCG(1, 2))
			var lines [4]Line
			rate := test.load * float64(test.processors) * float64(step) / float64(test.work.computes) // in a step
			warm := max(500*ms, 10*test.work.deadline)
			lasts := warm + max(time.Second, 10*test.work.deadline)
			before := 0
			for ; m.now.Sub(time.Unix(0, 0)) < lasts; m.step() {
				for n := rnd.ExpFloat64(); n < rate; n += rnd.ExpFloat64() {
					m.arrive(test.work, &lines[rnd.IntN(len(lines))])
				}
				if m.now.Sub(time.Unix(0, 0)) == warm {
					before = m.inTime
				}
			}
			could := min(test.load, 1) * float64(test.processors) * float64(lasts-warm) / float64(test.work.computes)
			good := float64(m.inTime-before) / could
			if good < test.good {
				t.Errorf("%.3f of what could be is answered in time, want %.2f", good, test.good)
			}
			if !test.refuses && m.refused > 0 {
				t.Errorf("%d of %d calls were refused", m.refused, m.arrived)
			}
			if testing.Verbose() {
				t.Logf("%.3f answered in time, %d of %d refused, limit %.1f", good, m.refused, m.arrived, m.gate.limit)
			}
		})
	}
}
