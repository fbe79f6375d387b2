//go:build linux || darwin

package processes_test

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/pprof/profile"

	"github.com/divisi-go/divisi/envelope/protos"
	"github.com/divisi-go/divisi/internal/control"
	"github.com/divisi-go/divisi/internal/deployer"
)

// groups makes a configuration with named groups of components, "Main" being the main one.
func groups(lists map[string][]string) string {
	var b strings.Builder
	for _, group := range slices.Sorted(maps.Keys(lists)) {
		var names []string
		for _, c := range lists[group] {
			full := component(c)
			if c == "Main" {
				full = mainComponent
			}
			names = append(names, fmt.Sprintf("%q", full))
		}
		fmt.Fprintf(&b, "[divisi.groups.%s]\ncomponents = [%s]\n", group, strings.Join(names, ", "))
	}
	return b.String()
}

// apart is the test's application as a group for each of the components that take part.
var apart = groups(map[string][]string{
	"main": {"Main", "Crash", "Probe", "Loner"}, "a": {"A"}, "b": {"B"}, "c": {"C"},
})

func TestCrashLoop(t *testing.T) {
	t.Parallel()
	const code, intensity = 3, 2
	spec := specOf(t, "testapp", groups(map[string][]string{
		"main": {"Main", "Probe", "Loner"}, "abc": {"A", "B", "C"}, "crash": {"Crash"},
	})+fmt.Sprintf(`
[divisi]
restart = { intensity = %d, window = "5m", backoff = "1500ms", max_backoff = "4s" }
[%q]
exit_code = %d
`, intensity, component("Crash"), code))
	spec.Replicas = map[string]int{"crash": 1}
	d := deploy(t, spec, deployer.Options{}, nil)
	siblings := map[string]int{}
	d.until("siblings are ready", func(s control.Status) bool {
		clear(siblings)
		for _, r := range s.Replicas {
			if r.Group != "crash" && r.State == "ready" {
				siblings[r.Name] = r.Pid
			}
		}
		return len(siblings) == 4
	})
	var victim control.ReplicaStatus
	check := func(state string) {
		t.Helper()
		s := d.until(state, func(s control.Status) bool {
			list := inGroup(s, "crash")
			return len(list) == 1 && list[0].State == state
		})
		victim = inGroup(s, "crash")[0]
		if victim.NextStart == nil || victim.LastExit == nil || victim.LastExit.Code != code {
			t.Errorf("%s: next start %v, last exit %+v", state, victim.NextStart, victim.LastExit)
		} else if !victim.NextStart.After(victim.LastExit.Time) {
			t.Errorf("%s: next start at %v, ended at %v", state, victim.NextStart, victim.LastExit.Time)
		}
		if victim.Pid != 0 {
			t.Errorf("%s with the process %d", state, victim.Pid)
		}
	}
	check("backoff")
	check("failed")
	if got := len(d.eventsOf(victim.Name, "started")); got != intensity+1 {
		t.Errorf("%d starts before it failed, want %d", got, intensity+1)
	}
	next := *victim.NextStart
	d.until("started again", func(s control.Status) bool { return named(s, victim.Name).Restarts > intensity })
	if again := d.eventsOf(victim.Name, "started"); len(again) > intensity+1 && again[intensity+1].Time.Before(next) {
		t.Errorf("started at %v, which is before %v", again[intensity+1].Time, next)
	}
	for _, r := range d.Status().Replicas {
		if pid, ok := siblings[r.Name]; ok && (r.Pid != pid || r.Restarts != 0) {
			t.Errorf("%s was disturbed: process %d is now %d", r.Name, pid, r.Pid)
		}
	}
}

func TestOverlappingGroups(t *testing.T) {
	t.Parallel()
	d := deploy(t, specOf(t, "testapp", groups(map[string][]string{
		"main": {"Main", "Crash", "Probe", "Loner"}, "ab": {"A", "B"}, "bc": {"B", "C"}, "cc": {"C"},
	})+"[divisi]\nreplicas = 1\n"), deployer.Options{}, nil)
	d.get("/where?n=1")
	status := d.ready(4)
	pid := func(group string) int { return inGroup(status, group)[0].Pid }
	low, high := min(pid("bc"), pid("cc")), max(pid("bc"), pid("cc"))
	want := fmt.Sprintf("where %d %d %d,%d", pid("ab"), pid("ab"), low, high)
	var got string
	// The first calls may come before the second connection.
	if !poll(t, func() bool { got = d.get("/where?n=100"); return got == want }) {
		t.Fatalf("%q, want %q", got, want)
	}

	// Calls that are made once are lost if the killed process had them, and none later.
	bound := time.Second
	var mu sync.Mutex // guards what follows
	var lost []time.Time
	calls := 0
	stop := make(chan struct{})
	var wait sync.WaitGroup
	for range 4 {
		wait.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				_, err := page(context.WithoutCancel(t.Context()), d.url+"/direct?n=0")
				mu.Lock()
				calls++
				if err != nil {
					lost = append(lost, time.Now())
				}
				mu.Unlock()
			}
		})
	}
	victim := inGroup(status, "cc")[0]
	stopped := time.Now()
	if err := syscall.Kill(victim.Pid, syscall.SIGKILL); err != nil {
		t.Error(err)
	}
	d.until("replaced", func(s control.Status) bool {
		r := named(s, victim.Name)
		return r.State == "ready" && r.Pid != victim.Pid && time.Since(stopped) > 2*bound
	})
	close(stop)
	wait.Wait()
	for _, at := range lost {
		if at.Sub(stopped) > bound {
			t.Errorf("a call was lost %v after the end of the process", at.Sub(stopped))
		}
	}
	t.Logf("%d calls, %d lost within %v", calls, len(lost), bound)
}

// spanLog collects spans.
type spanLog struct {
	mu    sync.Mutex
	spans []*protos.Span
}

func (l *spanLog) add(s *protos.TraceSpans) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.spans = append(l.spans, s.Span...)
}

// traces returns the spans by trace.
func (l *spanLog) traces() map[string][]*protos.Span {
	l.mu.Lock()
	defer l.mu.Unlock()
	byTrace := map[string][]*protos.Span{}
	for _, s := range l.spans {
		id := hex.EncodeToString(s.TraceId)
		byTrace[id] = append(byTrace[id], s)
	}
	return byTrace
}

func TestTraceAcrossWeavelets(t *testing.T) {
	t.Parallel()
	var log spanLog
	d := deploy(t, specOf(t, "testapp", apart+"[divisi]\nreplicas = 1\n"), deployer.Options{HandleSpans: log.add}, nil)
	want := []string{"HTTP chain", "testapp.A.Chain client", "testapp.A.Chain server",
		"testapp.B.Chain client", "testapp.B.Chain server"}
	var got []string
	if !poll(t, func() bool {
		if body := d.get("/chain?n=0"); body != "A B" {
			t.Fatalf("page %q", body)
		}
		for _, spans := range log.traces() {
			if len(spans) == len(want) {
				got = line(t, spans)
				return true
			}
		}
		return false
	}) {
		t.Fatalf("no trace of %d spans: %v", len(want), log.traces())
	}
	if !slices.Equal(got, want) {
		t.Errorf("the spans are, each a child of the one before: %q, want %q", got, want)
	}
}

// line returns the names of spans from the root on, each of which must have one child at most.
func line(t *testing.T, spans []*protos.Span) (names []string) {
	t.Helper()
	byParent := map[string]*protos.Span{}
	for _, s := range spans {
		if other := byParent[string(s.ParentSpanId)]; other != nil {
			t.Errorf("%s and %s have the same parent", other.Name, s.Name)
		}
		byParent[string(s.ParentSpanId)] = s
	}
	for id := ""; len(names) < len(spans); {
		s := byParent[id]
		if s == nil {
			t.Errorf("no child of %q", names)
			break
		}
		name := s.Name
		switch {
		case id == "" && s.Kind != protos.Span_SERVER:
			t.Errorf("the root is of the kind %v", s.Kind)
		case id == "":
		case s.Kind == protos.Span_CLIENT:
			name += " client"
		case s.Kind == protos.Span_SERVER:
			name += " server"
		}
		names = append(names, name)
		id = string(s.SpanId)
	}
	return names
}

// TestHeapProfile: the profile of a process says who holds its memory, by the profiler's estimate.
func TestHeapProfile(t *testing.T) {
	t.Parallel()
	d := deploy(t, specOf(t, "testapp", apart+"[divisi]\nreplicas = 1\n"), deployer.Options{}, nil)
	const megabytes = 64
	d.ready(4)
	d.get(fmt.Sprintf("/hold?n=%d", megabytes))
	names := func(s *profile.Sample) (names []string) {
		for _, l := range s.Location {
			names = append(names, l.Line[0].Function.Name)
		}
		return names
	}
	profiles, err := d.Profile(t.Context(), "main", "heap", 0)
	if err != nil || len(profiles) != 1 {
		t.Fatalf("%d profiles, %v", len(profiles), err)
	}
	p, err := profile.ParseData(profiles[0].Profile)
	if err != nil {
		t.Fatal(err)
	}
	if len(p.SampleType) != 4 || p.SampleType[3].Type != "inuse_space" || p.SampleType[3].Unit != "bytes" ||
		p.PeriodType.Type != "space" || p.Period != 512<<10 {
		t.Fatalf("types %v, %v, period %d", p.SampleType, p.PeriodType, p.Period)
	}
	var held []int64
	for _, s := range p.Sample {
		if stack := names(s); stack[0] == "main.hold" {
			held = s.Value
			if !slices.Contains(stack, "net/http.(*conn).serve") {
				t.Errorf("the stack is %q", stack)
			}
		}
	}
	if held == nil || held[2] != 1 || held[0] != 1 || held[3] != megabytes<<20 || held[1] != held[3] {
		t.Errorf("main.hold has %v, want one block of %d bytes", held, megabytes<<20)
	}
}

func TestMetricsSumAndProfileNamesHotFunction(t *testing.T) {
	t.Parallel()
	d := deploy(t, specOf(t, "testapp", apart+"[divisi]\nreplicas = 2\n"), deployer.Options{}, nil)
	const each = 400
	d.get("/bump?n=1") // starts what it needs
	d.ready(8)
	for range 2 {
		d.get(fmt.Sprintf("/bump?n=%d", each))
	}
	all, err := d.Metrics(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	sum, replicas := 0.0, 0
	for _, replica := range all {
		for _, m := range replica.Metrics {
			if m.Name == "testapp_counted" && m.Value > 0 {
				sum += float64(m.Value)
				replicas++
			}
		}
	}
	if sum != 2*2*each+2 || replicas != 2 {
		t.Errorf("%v counted by %d replicas, want %d by 2", sum, replicas, 2*2*each+2)
	}

	// One replica is profiled; of many short calls at once, each replica gets some.
	var burning sync.WaitGroup
	over := make(chan struct{})
	for range 8 {
		burning.Go(func() {
			for open := true; open; {
				if _, err := page(t.Context(), d.url+"/burn?n=50"); err != nil {
					t.Error(err)
					return
				}
				select {
				case <-over:
					open = false
				default:
				}
			}
		})
	}
	interrupt(t, d)
	profiles, err := d.Profile(t.Context(), "c", "cpu", time.Second)
	close(over)
	burning.Wait()
	if err != nil || len(profiles) != 1 {
		t.Errorf("%d profiles, %v", len(profiles), err)
	}
	for _, taken := range profiles {
		p, err := profile.ParseData(taken.Profile)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(p.Function, func(f *profile.Function) bool { return f.Name == "main.burnCycles" }) {
			t.Errorf("the profile does not name main.burnCycles:\n%s", p)
		}
	}
}

// interrupt takes a long profile and interrupts it.
func interrupt(t *testing.T, d *deployment) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := d.Profile(ctx, "c", "cpu", 10*time.Minute)
		ended <- err
	}()

	// It has begun when another one has to wait for it.
	for begun := false; !begun; {
		wait, giveUp := context.WithTimeout(t.Context(), 500*time.Millisecond)
		_, err := d.Profile(wait, "c", "cpu", time.Millisecond)
		giveUp()
		begun = err != nil
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("an interrupted profile: %v", err)
	}
}
