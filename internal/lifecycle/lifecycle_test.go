package lifecycle

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write what the scripts of testdata do into them")

var (
	states  = []State{Stopped, Starting, Ready, NotReady, Silent, Hung, Draining, Stopping, Backoff, Failed}
	events  = []Event{Start, Adopt, Answered, Busy, Unheard, Working, Stuck, Leave, Exited, Finished, Drained, Tick, Stop, Kill, GiveUp}
	actions = []Action{Spawn, Join, Part, Complain, Drain, Terminate, Destroy}
)

var start = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)

// TestScripts plays testdata/*.script. A line "policy NAME=VALUE ..." begins a new process, a
// line "> EVENT @TIME" is an event, "> EVENT*N @TIME" the same N times, and the line after it is what comes of it: the state, the
// time of its tick, the restarts so far, and the actions.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.script")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	seen := map[string]bool{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		got := play(t, file, string(text), seen)
		if *update {
			if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		compare(t, file, got, string(text))
	}
	for _, s := range states {
		if !seen[string(s)] {
			t.Errorf("no script has the state %s", s)
		}
	}
	for _, a := range actions {
		if !seen["+"+string(a)] {
			t.Errorf("no script has the action %s", a)
		}
	}
}

func compare(t *testing.T, file, got, want string) {
	t.Helper()
	gots, wants := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range max(len(gots), len(wants)) {
		if i >= len(gots) || i >= len(wants) || gots[i] != wants[i] {
			t.Errorf("%s:%d:\ngot  %q\nwant %q", file, i+1, gots[min(i, len(gots)-1)], wants[min(i, len(wants)-1)])
			return
		}
	}
}

// play returns the script with the results of its events as they are.
func play(t *testing.T, file, script string, seen map[string]bool) string {
	var out strings.Builder
	p := &Process{}
	for i, line := range strings.Split(strings.TrimSuffix(script, "\n"), "\n") {
		switch words := strings.Fields(line); {
		case len(words) == 0 || strings.HasPrefix(line, "#"):
		case words[0] == "policy":
			p = &Process{Policy: parsePolicy(t, words[1:])}
		case words[0] == ">" && len(words) == 3:
			at, err := time.ParseDuration(strings.TrimPrefix(words[2], "@"))
			if err != nil {
				t.Fatalf("%s:%d: %v", file, i+1, err)
			}
			fmt.Fprintln(&out, line)
			e, times, _ := strings.Cut(words[1], "*")
			n := 1
			if times != "" {
				if n, err = strconv.Atoi(times); err != nil {
					t.Fatalf("%s:%d: %v", file, i+1, err)
				}
			}
			var did []Action
			for range n {
				did = append(did, p.Step(Event(e), start.Add(at))...)
			}
			seen[string(p.State)] = true
			for _, a := range did {
				seen["+"+string(a)] = true
			}
			line = show(p, did)
		default:
			continue // what came of an event before
		}
		fmt.Fprintln(&out, line)
	}
	return out.String()
}

func show(p *Process, did []Action) string {
	line := "  " + string(p.State)
	if !p.Wake.IsZero() {
		line += fmt.Sprintf(" until %v", p.Wake.Sub(start))
	}
	if p.Restarts > 0 {
		line += fmt.Sprintf(", restarts %d", p.Restarts)
	}
	for i, a := range did {
		line += map[bool]string{true: ": ", false: " "}[i == 0] + string(a)
	}
	return line
}

func parsePolicy(t *testing.T, words []string) (p Policy) {
	durations := map[string]*time.Duration{
		"window": &p.Window, "backoff": &p.Backoff, "max": &p.MaxBackoff, "start": &p.StartTime,
		"drain": &p.DrainTime, "stop": &p.StopTime, "hung": &p.HungTime,
	}
	for _, word := range words {
		key, value, _ := strings.Cut(word, "=")
		var err error
		switch {
		case key == "restart":
			p.Restart = Restart(value)
		case key == "intensity":
			p.Intensity, err = strconv.Atoi(value)
		case durations[key] != nil:
			*durations[key], err = time.ParseDuration(value)
		default:
			err = fmt.Errorf("no such field")
		}
		if err != nil {
			t.Fatalf("policy %s: %v", word, err)
		}
	}
	return p
}

// reach are the events that bring a process into a state; a tick comes when it is due.
var reach = map[State][]Event{
	Stopped:  nil,
	Starting: {Start},
	Ready:    {Start, Answered},
	NotReady: {Start, Answered, Busy},
	Silent:   {Start, Answered, Unheard, Unheard, Unheard},
	Hung:     {Start, Unheard, Unheard, Unheard},
	Draining: {Start, Answered, Stop},
	Stopping: {Start, Stop},
	Backoff:  {Start, Exited},
	Failed:   {Start, Exited, Tick, Exited},
}

// TestTransitions keeps what every event does in every state in testdata/transitions.txt.
func TestTransitions(t *testing.T) {
	var out strings.Builder
	for _, state := range states {
		for _, e := range events {
			p := Process{Policy: Policy{Intensity: 1, Window: time.Hour, StartTime: 3 * time.Second}}
			now := start
			for _, before := range reach[state] {
				if before == Tick {
					now = p.Wake
				}
				p.Step(before, now)
			}
			if p.State == "" {
				p.State = Stopped
			}
			if p.State != state {
				t.Fatalf("%v lead to %s, not to %s", reach[state], p.State, state)
			}
			was := p
			if e == Tick && !p.Wake.IsZero() {
				p.Step(Tick, p.Wake.Add(-1))
				if p.State != was.State || p.Wake != was.Wake {
					t.Errorf("%s: a tick before its time changes it", state)
				}
				now = p.Wake
			}
			did := p.Step(e, now)
			if p.State == was.State && p.Wake.Equal(was.Wake) && len(did) == 0 {
				continue
			}
			line := fmt.Sprintf("%-9s %-8s -> %-9s", state, e, p.State)
			if !p.Wake.IsZero() {
				line += fmt.Sprintf(" tick in %v", p.Wake.Sub(now))
			}
			for _, a := range did {
				line += " +" + string(a)
			}
			fmt.Fprintln(&out, strings.TrimRight(line, " "))
		}
	}
	const file = "testdata/transitions.txt"
	if *update {
		if err := os.WriteFile(file, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	compare(t, file, out.String(), string(want))
}

func TestUnknownEvent(t *testing.T) {
	defer func() {
		if v := fmt.Sprint(recover()); !strings.Contains(v, `unknown event "explode"`) {
			t.Errorf("panic %s", v)
		}
	}()
	new(Process).Step("explode", start)
}

func TestDefaults(t *testing.T) {
	all := Policy{
		Restart: Permanent, Intensity: 1, Window: 1, Backoff: 2, MaxBackoff: 3,
		StartTime: 4, DrainTime: 5, StopTime: 6, HungTime: 7,
	}
	if got := all.WithDefaults(); got != all {
		t.Errorf("WithDefaults changes %+v into %+v", all, got)
	}
	want := Policy{
		Restart: Transient, Intensity: 5, Window: time.Minute, Backoff: 100 * time.Millisecond,
		MaxBackoff: 30 * time.Second, StartTime: 30 * time.Second, DrainTime: 15 * time.Second,
		StopTime: 5 * time.Second, HungTime: 10 * time.Second,
	}
	if got := (Policy{}).WithDefaults(); got != want {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestExtend(t *testing.T) {
	p := Process{Policy: Policy{StartTime: 5 * time.Second, StopTime: 5 * time.Second}}
	wake := func(want time.Duration) {
		t.Helper()
		if got := p.Wake.Sub(start); got != want {
			t.Errorf("%s until %v, want %v", p.State, got, want)
		}
	}
	p.Step(Start, start)
	p.Extend(time.Second, start.Add(time.Second))
	wake(5 * time.Second) // no less than it has
	p.Extend(10*time.Second, start.Add(time.Second))
	wake(11 * time.Second)

	p.Step(Stop, start.Add(2*time.Second))
	p.Extend(time.Minute, start.Add(3*time.Second))
	wake(63 * time.Second)
	if did := p.Step(Tick, start.Add(7*time.Second)); len(did) > 0 {
		t.Errorf("too early: %v", did)
	}
	p.Step(Tick, start.Add(63*time.Second))
	p.Extend(time.Minute, start.Add(64*time.Second))
	if !p.Wake.IsZero() {
		t.Error("one that is being killed has more time")
	}
}
