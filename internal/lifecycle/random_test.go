package lifecycle

import (
	"encoding/json"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"
)

// world is a process as the machine sees it, beside the Process that decides about it.
type world struct {
	t       *testing.T
	rng     *rand.Rand
	p       Process
	now     time.Time
	alive   bool
	joined  bool
	wanted  bool
	dies    time.Time // when it will have ended, if it is alive; zero for not by itself
	started []time.Time
	fails   int // ends that nobody asked for since the last one that began anew
}

func (w *world) step(e Event) {
	w.t.Helper()
	if w.rng.IntN(50) == 0 {
		w.move()
	}
	before := w.p
	was := w.p.State
	for _, a := range w.p.Step(e, w.now) {
		switch a {
		case Spawn:
			if w.alive || !w.wanted {
				w.t.Fatalf("spawn after %s in %s: alive %v, wanted %v", e, was, w.alive, w.wanted)
			}
			w.alive = true
			w.started = append(w.started, w.now)
		case Join:
			if w.joined || !w.alive {
				w.t.Fatalf("join after %s in %s: joined %v, alive %v", e, was, w.joined, w.alive)
			}
			w.joined = true
		case Part:
			if !w.joined {
				w.t.Fatalf("part after %s in %s, but it has not joined", e, was)
			}
			w.joined = false
		case Drain, Terminate, Destroy:
			if !w.alive {
				w.t.Fatalf("%s after %s in %s, but nothing runs", a, e, was)
			}
			if a == Destroy {
				w.dies = w.now.Add(time.Millisecond)
			}
		}
	}
	w.check(e, before)
}

// move has another program go on with the process.
func (w *world) move() {
	w.t.Helper()
	text, err := json.Marshal(w.p)
	if err != nil {
		w.t.Fatal(err)
	}
	next := Process{Policy: w.p.Policy, Rand: w.p.Rand}
	if err := json.Unmarshal(text, &next); err != nil {
		w.t.Fatal(err)
	}

	next.Wake, next.Since = w.p.Wake, w.p.Since // which have a clock of their own here
	for i := range next.Window {
		next.Window[i] = w.p.Window[i]
	}
	if !reflect.DeepEqual(next.Past, w.p.Past) || next.State != w.p.State || next.Restarts != w.p.Restarts {
		w.t.Fatalf("%+v became %+v", w.p, next)
	}
	w.p = next
}

func (w *world) check(e Event, before Process) {
	w.t.Helper()
	s := w.p.State
	if w.joined != (s == Ready) {
		w.t.Fatalf("%s after %s: joined is %v", s, e, w.joined)
	}
	if alive := !slices.Contains([]State{Stopped, Backoff, Failed}, s); alive != w.alive {
		w.t.Fatalf("%s after %s: alive is %v", s, e, w.alive)
	}
	if w.p.Wake.IsZero() && slices.Contains([]State{Starting, NotReady, Draining, Backoff, Failed}, s) {
		w.t.Fatalf("%s after %s would last for ever", s, e)
	}
	if !w.wanted && slices.Contains([]State{Starting, Ready, NotReady, Silent, Hung, Backoff, Failed}, s) {
		w.t.Fatalf("%s after %s, but it is not wanted", s, e)
	}
	if s == before.State || s != Backoff && s != Failed {
		return
	}
	policy := w.p.Policy
	w.fails++
	longest := policy.MaxBackoff
	if before.Served {
		longest = min(longest, max(policy.Backoff, servedBackoff))
	}
	bound := policy.Backoff
	for range w.fails - 1 {
		bound = min(2*bound, longest)
	}
	wait := w.p.Wake.Sub(w.now)
	if s == Failed && wait != policy.MaxBackoff || s == Backoff && (wait < time.Millisecond || wait > max(bound, time.Millisecond)) {
		w.t.Fatalf("%s waits %v after %d failures, at most %v (%+v)", s, wait, w.fails, bound, policy)
	}
}

// run plays virtual hours: it moves to whatever comes next, the tick, the end of the process, or
// something from outside.
func (w *world) run(hours time.Duration, crashing bool) {
	end := w.now.Add(hours * time.Hour)
	for range 500_000 {
		if w.now.After(end) {
			return
		}
		next, what := w.now.Add(time.Duration(w.rng.Int64N(int64(2*time.Minute)))), "outside"
		if !w.p.Wake.IsZero() && w.p.Wake.Before(next) {
			next, what = w.p.Wake, "tick"
		}
		if w.alive && !w.dies.IsZero() && !w.dies.After(next) {
			next, what = w.dies, "end"
		}
		if next.After(w.now) {
			w.now = next
		}
		switch {
		case what == "tick":
			w.forget()
			w.step(Tick)
			w.live(crashing)
		case what == "end":
			w.end()
		case crashing:
		default:
			w.outside()
		}
	}
	w.t.Fatal("the hours do not end")
}

// live gives a process that has just started the time of its end.
func (w *world) live(crashing bool) {
	switch {
	case w.p.State != Starting || !w.p.Since.Equal(w.now):
	case crashing:
		w.dies = w.now.Add(time.Duration(w.rng.Int64N(int64(100 * time.Millisecond))))
	case w.rng.IntN(2) == 0:
		w.dies = w.now.Add(time.Duration(w.rng.Int64N(int64(5 * time.Minute))))
	default:
		w.dies = time.Time{}
	}
}

func (w *world) end() {
	w.alive, w.dies = false, time.Time{}
	w.forget()
	e := Exited
	if w.rng.IntN(50) == 0 {
		e = Finished
	}
	w.step(e)
}

// forget is the rule that a whole window of readiness ends a row of failures.
func (w *world) forget() {
	if w.p.State == Ready && w.now.Sub(w.p.Since) >= w.p.Policy.Window {
		w.fails = 0
	}
}

func (w *world) outside() {
	switch e := events[w.rng.IntN(len(events))]; e {
	case Exited, Finished:
		if w.alive {
			w.end()
		}
	case Start:
		w.wanted = true
		w.step(e)
		w.live(false)
	case Adopt:
		w.wanted = true
		if w.p.State == Stopped || w.p.State == "" {
			w.alive = true // somebody has started it
		}
		w.step(e)
		w.live(false)
	case Stop, Kill:
		w.wanted = false
		w.forget()
		w.step(e)
	case Answered, Busy, Unheard, Working, Stuck, Leave:
		if w.alive {
			if e != Answered {
				w.forget()
			}
			w.step(e)
		}
	default:
		w.step(e)
	}
}

func randomPolicy(rng *rand.Rand) Policy {
	p := Policy{
		Restart:    []Restart{Permanent, Transient, Temporary}[rng.IntN(3)],
		Intensity:  rng.IntN(6),
		Window:     time.Duration(rng.IntN(3)) * 40 * time.Second,
		Backoff:    []time.Duration{0, 1, time.Second, time.Minute, 24 * time.Hour}[rng.IntN(5)],
		MaxBackoff: []time.Duration{0, time.Second, time.Hour}[rng.IntN(3)],
	}
	return p.WithDefaults()
}

// TestRandom lets anything happen at any time.
func TestRandom(t *testing.T) {
	for seed := range uint64(60) {
		rng := rand.New(rand.NewPCG(seed, 1))
		w := &world{t: t, rng: rng, now: start, p: Process{Policy: randomPolicy(rng), Rand: rng.Float64}}
		w.run(10, false)
		w.wanted = false
		w.step(Kill)
		starts := len(w.started)
		w.dies = w.now
		if w.alive {
			w.end()
		}
		w.now = w.now.Add(1000 * time.Hour)
		w.step(Tick)
		if w.p.State != Stopped || len(w.started) != starts {
			t.Fatalf("seed %d: %s after Kill and the end, %d starts after it", seed, w.p.State, len(w.started)-starts)
		}
	}
}

// TestCrashLoop counts the starts of a process that ends as soon as it has started: in no window
// are there more than the intensity allows, besides those after the longest wait.
func TestCrashLoop(t *testing.T) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 2))
		policy := randomPolicy(rng)
		policy.Restart = Permanent
		w := &world{t: t, rng: rng, now: start, p: Process{Policy: policy, Rand: rng.Float64}, wanted: true}
		w.step(Start)
		w.live(true)
		w.run(2, true)
		allowed := policy.Intensity + 1 + int(policy.Window/policy.MaxBackoff)
		for i, first := range w.started {
			n := 0
			for n < len(w.started)-i && w.started[i+n].Sub(first) < policy.Window {
				n++
			}
			if n > allowed {
				t.Fatalf("seed %d: %d starts in %v, allowed are %d (%+v)", seed, n, policy.Window, allowed, policy)
			}
		}
		if longest := 2*time.Hour/(policy.MaxBackoff+time.Second) - 1; len(w.started) < int(longest) {
			t.Fatalf("seed %d: %d starts, at least %d were due (%+v)", seed, len(w.started), longest, policy)
		}
		w.wanted = false
		w.step(Stop)
		if w.alive {
			w.end()
		}
		starts := len(w.started)
		w.run(2, true)
		if len(w.started) != starts {
			t.Fatalf("seed %d: %d starts after Stop", seed, len(w.started)-starts)
		}
	}
}

// TestAskedFor ends a process a hundred times because it is asked to: it never waits.
func TestAskedFor(t *testing.T) {
	p := Process{Policy: Policy{Restart: Permanent, Intensity: 1}}
	now := start
	for range 100 {
		for _, e := range []Event{Start, Answered, Stop, Drained, Exited} {
			now = now.Add(time.Millisecond)
			p.Step(e, now)
		}
		if p.State != Stopped || p.Restarts != 0 {
			t.Fatalf("%s with %d restarts", p.State, p.Restarts)
		}
	}
	p.Step(Start, now)
	p.Step(Exited, now)
	if wait := p.Wake.Sub(now); p.State != Backoff || wait != 100*time.Millisecond {
		t.Errorf("%s for %v after the first failure", p.State, wait)
	}
}
