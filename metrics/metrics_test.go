package metrics

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
)

type route struct {
	Path string
	Code int `divisi:"status"`
	TLS  bool
	Old  uint8 `weaver:"age"`
}

// value returns the value of the metric with the given name and labels in r.
func value(t *testing.T, r *Registry, name string, labels ...Label) Metric {
	t.Helper()
	for _, m := range r.Snapshot() {
		if m.Name == name && slices.Equal(m.Labels, labels) {
			return m
		}
	}
	t.Fatalf("no metric %s%v in %v", name, labels, r.Snapshot())
	return Metric{}
}

func TestCounter(t *testing.T) {
	var r Registry
	c := r.Counter("c", "help")
	c.Inc()
	c.Add(2)
	c.Add(0.25)
	c.Add(-7)
	c.Add(math.NaN())
	c.Add(math.Inf(-1))
	c.Add(0)
	got := value(t, &r, "c")
	if got.Value != 3.25 || got.Type != CounterType || got.Help != "help" || c.Name() != "c" {
		t.Errorf("got %+v", got)
	}
	c.Add(1 << 60)
	c.Add(math.MaxFloat64)
	if got := value(t, &r, "c").Value; got != math.MaxFloat64 {
		t.Errorf("got %v", got)
	}
}

func TestGauge(t *testing.T) {
	var r Registry
	g := r.Gauge("g", "")
	g.Set(10)
	g.Add(-2.5)
	g.Sub(5)
	if got := value(t, &r, "g"); got.Value != 2.5 || got.Type != GaugeType || g.Name() != "g" {
		t.Errorf("got %+v", got)
	}
}

func TestHistogram(t *testing.T) {
	var r Registry
	bounds := []float64{0, 10, 100}
	h := r.Histogram("h", "", bounds)
	bounds[0] = 5
	for _, v := range []float64{-1, 0, 0.5, 10, 11, 100, 100.5, math.NaN()} {
		h.Put(v)
	}
	got := value(t, &r, "h")
	if !slices.Equal(got.Bounds, []float64{0, 10, 100}) || h.Name() != "h" {
		t.Errorf("bounds %v", got.Bounds)
	}
	if want := []uint64{2, 2, 2, 1}; !slices.Equal(got.Counts, want) || got.Value != 221 {
		t.Errorf("counts %v and sum %v, want %v and 221", got.Counts, got.Value, want)
	}
	none := r.Histogram("none", "", nil)
	none.Put(3)
	if got := value(t, &r, "none"); !slices.Equal(got.Counts, []uint64{1}) {
		t.Errorf("without bounds: %v", got.Counts)
	}
}

func TestLabels(t *testing.T) {
	var r Registry
	m := CounterMapIn[route](&r, "requests", "")
	m.Get(route{Path: "/", Code: 200, TLS: true, Old: 3}).Add(2)
	m.Get(route{Path: "/", Code: 200, TLS: true, Old: 3}).Inc()
	m.Get(route{Path: "/", Code: -1}).Inc()
	gauges := GaugeMapIn[struct{ Zone string }](&r, "gauges", "")
	gauges.Get(struct{ Zone string }{"eu"}).Set(4)
	histograms := HistogramMapIn[struct{ ZoneName string }](&r, "histograms", "", []float64{1})
	histograms.Get(struct{ ZoneName string }{"us"}).Put(2)

	want := []Label{{"age", "3"}, {"path", "/"}, {"status", "200"}, {"tLS", "true"}}
	if got := value(t, &r, "requests", want...); got.Value != 3 {
		t.Errorf("got %+v", got)
	}
	other := []Label{{"age", "0"}, {"path", "/"}, {"status", "-1"}, {"tLS", "false"}}
	if got := value(t, &r, "requests", other...); got.Value != 1 {
		t.Errorf("got %+v", got)
	}
	if got := value(t, &r, "gauges", Label{"zone", "eu"}); got.Value != 4 {
		t.Errorf("got %+v", got)
	}
	if got := value(t, &r, "histograms", Label{"zoneName", "us"}); got.Counts[1] != 1 {
		t.Errorf("got %+v", got)
	}
	if m.Name() != "requests" || gauges.Name() != "gauges" || histograms.Name() != "histograms" {
		t.Errorf("names %s, %s, %s", m.Name(), gauges.Name(), histograms.Name())
	}
}

// level has a String method that two values share.
type level int

func (level) String() string { return "some level" }

func TestLabelsOfNamedTypes(t *testing.T) {
	var r Registry
	type method string
	type labels struct {
		Method method
		Level  level
	}
	m := CounterMapIn[labels](&r, "calls", "")
	m.Get(labels{"GET", 1}).Inc()
	m.Get(labels{"GET", 2}).Add(2)
	for n, want := range map[string]float64{"1": 1, "2": 2} {
		if got := value(t, &r, "calls", Label{"level", n}, Label{"method", "GET"}); got.Value != want {
			t.Errorf("level %s: got %+v", n, got)
		}
	}
}

func TestSnapshotIsSteady(t *testing.T) {
	var r Registry
	c := r.Counter("c", "")
	m := CounterMapIn[struct{ N int }](&r, "m", "")
	for n := range 5 {
		m.Get(struct{ N int }{n}).Inc()
	}
	before := r.Snapshot()
	c.Inc()
	m.Get(struct{ N int }{5}).Inc()
	after := r.Snapshot()
	if len(before) != 6 || len(after) != 7 || before[0].Value != 0 {
		t.Fatalf("before %v, after %v", before, after)
	}
	for i, b := range before {
		a := after[i]
		if a.ID != b.ID || a.ID != uint64(i+1) || a.Name != b.Name || !slices.Equal(a.Labels, b.Labels) {
			t.Errorf("%+v became %+v", b, a)
		}
	}
}

func TestConcurrent(t *testing.T) {
	var r Registry
	c, g := r.Counter("c", ""), r.Gauge("g", "")
	h := r.Histogram("h", "", []float64{1, 2, 3})
	m := CounterMapIn[struct{ N int }](&r, "m", "")
	const workers, rounds = 8, 3000
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := range rounds {
				c.Inc()
				c.Add(0.5)
				g.Add(1)
				g.Sub(0.25)
				h.Put(float64(i % 4))
				m.Get(struct{ N int }{(i + w) % 100}).Inc()
			}
		})
	}
	wg.Go(func() {
		last := 0.0
		for range 100 {
			for _, m := range r.Snapshot() {
				if m.Name == "c" && m.Value < last {
					t.Errorf("the counter went from %v to %v", last, m.Value)
				} else if m.Name == "c" {
					last = m.Value
				}
			}
		}
	})
	wg.Wait()
	const n = workers * rounds
	if got := value(t, &r, "c").Value; got != n*1.5 {
		t.Errorf("counter %v, want %v", got, n*1.5)
	}
	if got := value(t, &r, "g").Value; got != n*0.75 {
		t.Errorf("gauge %v, want %v", got, n*0.75)
	}
	if got := value(t, &r, "h"); got.Value != n*1.5 ||
		!slices.Equal(got.Counts, []uint64{n / 2, n / 4, n / 4, 0}) {
		t.Errorf("histogram %v of %v, want %v", got.Counts, got.Value, n)
	}
	for i := range 100 {
		if got := value(t, &r, "m", Label{"n", fmt.Sprint(i)}).Value; got != n/100 {
			t.Errorf("counter %d is %v, want %v", i, got, n/100)
		}
	}
}

func TestGetIsOneMetric(t *testing.T) {
	var r Registry
	m := GaugeMapIn[struct{ N int }](&r, "m", "")
	first := map[int]*Gauge{}
	for round := range 3 {
		for n := range 1000 {
			g := m.Get(struct{ N int }{n})
			if round == 0 {
				first[n] = g
			} else if first[n] != g {
				t.Fatalf("round %d has another gauge for %d", round, n)
			}
		}
	}
	if got := len(r.Snapshot()); got != 1000 {
		t.Errorf("%d metrics, want 1000", got)
	}
}

func TestHotPathDoesNotAllocate(t *testing.T) {
	var r Registry
	c, h := r.Counter("c", ""), r.Histogram("h", "", []float64{1, 10})
	m := CounterMapIn[route](&r, "m", "")
	labels := route{Path: "/", Code: 200}
	m.Get(labels)
	if n := testing.AllocsPerRun(100, func() {
		c.Inc()
		c.Add(0.1)
		h.Put(5)
		m.Get(labels).Inc()
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestPanics(t *testing.T) {
	var r Registry
	r.Counter("taken", "")
	for name, tc := range map[string]struct {
		make func()
		want []string
	}{
		"duplicate": {
			func() { CounterMapIn[route](&r, "taken", "") },
			[]string{`counter "taken" made at `, "metrics_test.go:", "already", "rename"},
		},
		"duplicate of another type": {
			func() { r.Gauge("taken", "") },
			[]string{`cannot have gauge "taken"`, `there is counter "taken"`},
		},
		"no name":      {func() { r.Counter("", "") }, []string{"without a name"}},
		"NaN bound":    {func() { r.Histogram("x", "", []float64{math.NaN()}) }, []string{"not a number"}},
		"equal bounds": {func() { r.Histogram("x", "", []float64{1, 1}) }, []string{"ascend"}},
		"no struct":    {func() { GaugeMapIn[string](&r, "x", "") }, []string{"not a struct"}},
		"float label": {
			func() { GaugeMapIn[struct{ F float64 }](&r, "x", "") },
			[]string{`cannot make "x"`, "field F", "float64"},
		},
		"unexported label": {func() { GaugeMapIn[struct{ f string }](&r, "x", "") }, []string{"field f", "exported"}},
		"same label": {
			func() {
				GaugeMapIn[struct {
					A string
					B string `divisi:"a"`
				}](&r, "x", "")
			},
			[]string{"fields A and B", `"a"`},
		},
		"bad label": {
			func() {
				HistogramMapIn[struct {
					A string `divisi:"a-b"`
				}](&r, "x", "", nil)
			},
			[]string{"field A", `"a-b"`, "underscores"},
		},
		"label of buckets": {
			func() { GaugeMapIn[struct{ Le int }](&r, "x", "") },
			[]string{"field Le", "buckets"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				got := fmt.Sprint(recover())
				for _, want := range tc.want {
					if !strings.Contains(got, want) {
						t.Errorf("panic %q does not say %q", got, want)
					}
				}
			}()
			tc.make()
		})
	}
	r.Counter("x", "") // what panicked has not reserved its name
}

func TestRegistriesAreApart(t *testing.T) {
	var a, b Registry
	a.Counter("same", "").Inc()
	b.Counter("same", "")
	if value(t, &a, "same").Value != 1 || value(t, &b, "same").Value != 0 {
		t.Errorf("a %v, b %v", a.Snapshot(), b.Snapshot())
	}
}

// processRuns counts runs of a test in this process, whose registry keeps their metrics.
var processRuns int

func TestProcessRegistry(t *testing.T) {
	processRuns++
	run := fmt.Sprintf("test%d_", processRuns)
	NewCounter(run+"counter", "").Inc()
	NewGauge(run+"gauge", "").Set(2)
	NewHistogram(run+"histogram", "", nil).Put(3)
	NewCounterMap[struct{ N int }](run+"counters", "").Get(struct{ N int }{1}).Add(4)
	NewGaugeMap[struct{ N int }](run+"gauges", "").Get(struct{ N int }{1}).Add(5)
	NewHistogramMap[struct{ N int }](run+"histograms", "", nil).Get(struct{ N int }{1}).Put(6)
	got := map[string]float64{}
	for _, m := range Snapshot() {
		got[m.Name] = m.Value
	}
	for name, want := range map[string]float64{
		"counter": 1, "gauge": 2, "histogram": 3,
		"counters": 4, "gauges": 5, "histograms": 6,
	} {
		if got[run+name] != want {
			t.Errorf("%s = %v, want %v", name, got[name], want)
		}
	}
}

func TestTypeString(t *testing.T) {
	for typ, want := range []string{"untyped", "counter", "gauge", "histogram", "untyped"} {
		if got := Type(typ).String(); got != want {
			t.Errorf("Type(%d) = %s, want %s", typ, got, want)
		}
	}
}
