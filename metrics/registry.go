package metrics

import (
	"fmt"
	"math"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// Type is the type of a metric. The values are those of the envelope protocol.
type Type int

// The types of metrics.
const (
	CounterType Type = 1 + iota
	GaugeType
	HistogramType
)

// String returns the type as Prometheus writes it.
func (t Type) String() string {
	if t < CounterType || t > HistogramType {
		return "untyped"
	}
	return [...]string{"counter", "gauge", "histogram"}[t-CounterType]
}

// Label is one label of a metric.
type Label struct{ Name, Value string }

// Metric is the state of one metric with one combination of labels at some moment, for those who
// export metrics. Labels and Bounds are shared and must not be changed.
type Metric struct {
	ID     uint64 // the same in every snapshot of a registry; unique in it, from 1
	Type   Type
	Name   string
	Help   string
	Labels []Label   // sorted by name
	Value  float64   // of a histogram, the sum of all values
	Bounds []float64 // of a histogram
	Counts []uint64  // of a histogram, the values in each bucket, one more than Bounds
}

// Registry holds metrics of different names. There is one for the process, to which the
// functions of this package that take none refer; tests, and several applications in one
// process, make their own. The zero value is ready for use.
type Registry struct {
	mu    sync.Mutex
	names map[string]string // where the metrics were made, by name; guarded by mu
	cells []*cell           // by ID; guarded by mu
}

var process Registry

// Snapshot returns the state of all metrics of the process; see Registry.Snapshot.
func Snapshot() []Metric { return process.Snapshot() }

// Snapshot returns the state of all metrics, sorted by ID. It may be called at any time. Each
// number is exact, and what was counted before the call is in it; numbers that change during the
// call are not from the same instant.
func (r *Registry) Snapshot() []Metric {
	r.mu.Lock()
	cells := r.cells // only ever appended to
	r.mu.Unlock()
	all := make([]Metric, len(cells))
	for i, c := range cells {
		all[i] = c.snapshot()
	}
	return all
}

// Counter is NewCounter in r.
func (r *Registry) Counter(name, help string) *Counter {
	d := r.define(CounterType, name, help, nil)
	return newCounter(r, d)(nil)
}

// Gauge is NewGauge in r.
func (r *Registry) Gauge(name, help string) *Gauge {
	d := r.define(GaugeType, name, help, nil)
	return newGauge(r, d)(nil)
}

// Histogram is NewHistogram in r.
func (r *Registry) Histogram(name, help string, bounds []float64) *Histogram {
	d := r.define(HistogramType, name, help, bounds)
	return newHistogram(r, d)(nil)
}

// CounterMapIn is NewCounterMap in r.
func CounterMapIn[L comparable](r *Registry, name, help string) *CounterMap[L] {
	label := mustLabel[L](name)
	d := r.define(CounterType, name, help, nil)
	m := new(CounterMap[L])
	m.prepare(name, label, newCounter(r, d))
	return m
}

// GaugeMapIn is NewGaugeMap in r.
func GaugeMapIn[L comparable](r *Registry, name, help string) *GaugeMap[L] {
	label := mustLabel[L](name)
	d := r.define(GaugeType, name, help, nil)
	m := new(GaugeMap[L])
	m.prepare(name, label, newGauge(r, d))
	return m
}

// HistogramMapIn is NewHistogramMap in r.
func HistogramMapIn[L comparable](r *Registry, name, help string, bounds []float64) *HistogramMap[L] {
	label := mustLabel[L](name)
	d := r.define(HistogramType, name, help, bounds)
	m := new(HistogramMap[L])
	m.prepare(name, label, newHistogram(r, d))
	return m
}

func newCounter(r *Registry, d *definition) func([]Label) *Counter {
	return func(l []Label) *Counter {
		c := new(Counter)
		r.add(&c.cell, d, l)
		return c
	}
}

func newGauge(r *Registry, d *definition) func([]Label) *Gauge {
	return func(l []Label) *Gauge {
		g := new(Gauge)
		r.add(&g.cell, d, l)
		return g
	}
}

func newHistogram(r *Registry, d *definition) func([]Label) *Histogram {
	return func(l []Label) *Histogram {
		h := new(Histogram)
		h.counts = make([]atomic.Uint64, len(d.bounds)+1)
		r.add(&h.cell, d, l)
		return h
	}
}

// add gives a cell its place in the snapshots of r.
func (r *Registry) add(c *cell, d *definition, labels []Label) {
	c.definition, c.labels = d, labels
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cells = append(r.cells, c)
	c.id = uint64(len(r.cells))
}

// define reserves a name in r. Metrics are made when packages are initialized, where nobody
// could handle an error: what is wrong is wrong in the program, and a panic names it.
func (r *Registry) define(typ Type, name, help string, bounds []float64) *definition {
	switch {
	case name == "":
		panic(fmt.Sprintf("metrics: cannot make a %v without a name", typ))
	case slices.ContainsFunc(bounds, math.IsNaN):
		panic(fmt.Sprintf("metrics: cannot make %q: a bound is not a number", name))
	}
	for i := range len(bounds) - 1 {
		if bounds[i] >= bounds[i+1] {
			panic(fmt.Sprintf("metrics: cannot make %q: bound %v is followed by %v, they must ascend",
				name, bounds[i], bounds[i+1]))
		}
	}
	place := fmt.Sprintf("%v %q made at %s", typ, name, caller())
	r.mu.Lock()
	defer r.mu.Unlock()
	if other, ok := r.names[name]; ok {
		panic(fmt.Sprintf("metrics: cannot have %s: there is %s already; rename one of them", place, other))
	}
	if r.names == nil {
		r.names = map[string]string{}
	}
	r.names[name] = place
	return &definition{typ: typ, name: name, help: help, bounds: slices.Clone(bounds)}
}

// caller returns the file and line outside this package that makes a metric.
func caller() string {
	const own = "github.com/divisi-go/divisi/metrics."
	pcs := make([]uintptr, 10)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs)])
	for {
		f, more := frames.Next()
		if !strings.HasPrefix(f.Function, own) || strings.HasSuffix(f.File, "_test.go") {
			return fmt.Sprintf("%s:%d", f.File, f.Line)
		}
		if !more {
			return "an unknown place"
		}
	}
}
