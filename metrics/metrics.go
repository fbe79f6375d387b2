package metrics

import "slices"

// Counter is a number that only grows, such as that of the requests received. All its methods
// may be called concurrently, as may those of the other types of this package.
type Counter struct{ cell }

// NewCounter returns a new counter without labels. It panics if there is a metric of that name
// already, so it belongs into the initialization of a package.
func NewCounter(name, help string) *Counter { return process.Counter(name, help) }

// Inc adds one.
func (c *Counter) Inc() { c.whole.Add(1) }

// Add adds delta. A counter never shrinks: a delta that is negative or not a number is ignored.
func (c *Counter) Add(delta float64) {
	switch n := uint64(delta); {
	case delta != delta || delta <= 0:
	case delta < maxWhole && float64(n) == delta:
		c.whole.Add(n)
	default:
		c.float.add(delta)
	}
}

// CounterMap is a counter with labels L; see the documentation of the package.
type CounterMap[L comparable] struct{ family[L, Counter] }

// NewCounterMap returns a new counter with labels. It panics if there is a metric of that name
// already, or if L cannot be labels.
func NewCounterMap[L comparable](name, help string) *CounterMap[L] {
	return CounterMapIn[L](&process, name, help)
}

// Get returns the counter with the given labels, the same one for the same labels.
func (m *CounterMap[L]) Get(labels L) *Counter { return m.get(labels) }

// Gauge is a number that goes up and down, such as that of the requests being served.
type Gauge struct{ cell }

// NewGauge returns a new gauge without labels. It panics if there is a metric of that name
// already, so it belongs into the initialization of a package.
func NewGauge(name, help string) *Gauge { return process.Gauge(name, help) }

// Set sets the gauge.
func (g *Gauge) Set(value float64) { g.float.set(value) }

// Add adds delta, which may be negative.
func (g *Gauge) Add(delta float64) { g.float.add(delta) }

// Sub subtracts delta.
func (g *Gauge) Sub(delta float64) { g.float.add(-delta) }

// GaugeMap is a gauge with labels L; see the documentation of the package.
type GaugeMap[L comparable] struct{ family[L, Gauge] }

// NewGaugeMap returns a new gauge with labels. It panics if there is a metric of that name
// already, or if L cannot be labels.
func NewGaugeMap[L comparable](name, help string) *GaugeMap[L] {
	return GaugeMapIn[L](&process, name, help)
}

// Get returns the gauge with the given labels, the same one for the same labels.
func (m *GaugeMap[L]) Get(labels L) *Gauge { return m.get(labels) }

// Histogram counts values in buckets, such as the latencies of requests.
type Histogram struct{ cell }

// NewHistogram returns a new histogram without labels. It panics if there is a metric of that
// name already, so it belongs into the initialization of a package.
//
// The bounds must ascend, and n of them make n+1 buckets. As in Prometheus and OpenTelemetry a
// value equal to a bound is in the bucket below it: the bounds 0, 10, 100 make the buckets
//
//	v <= 0    0 < v <= 10    10 < v <= 100    100 < v
func NewHistogram(name, help string, bounds []float64) *Histogram {
	return process.Histogram(name, help, bounds)
}

// Put counts value in its bucket. What is not a number is ignored.
func (h *Histogram) Put(value float64) {
	if value != value {
		return
	}
	i, _ := slices.BinarySearch(h.definition.bounds, value)
	h.counts[i].Add(1)
	if value != 0 {
		h.float.add(value)
	}
}

// HistogramMap is a histogram with labels L; see the documentation of the package.
type HistogramMap[L comparable] struct{ family[L, Histogram] }

// NewHistogramMap returns a new histogram with labels and bounds as for NewHistogram. It panics
// if there is a metric of that name already, or if L cannot be labels.
func NewHistogramMap[L comparable](name, help string, bounds []float64) *HistogramMap[L] {
	return HistogramMapIn[L](&process, name, help, bounds)
}

// Get returns the histogram with the given labels, the same one for the same labels.
func (m *HistogramMap[L]) Get(labels L) *Histogram { return m.get(labels) }
