package metrics

import (
	"math"
	"sync/atomic"
)

// maxWhole is the first whole number beyond which float64 has gaps; smaller deltas of counters
// are added as integers, which is faster and exact.
const maxWhole = 1 << 53

// definition is what all metrics of one name have in common.
type definition struct {
	typ    Type
	name   string
	help   string
	bounds []float64 // of a Histogram
}

// cell is the value of one metric with one combination of labels.
type cell struct {
	definition *definition
	id         uint64
	labels     []Label

	whole  atomic.Uint64 // the part of a Counter that was counted in whole numbers
	float  atomicFloat   // the other part; the value of a Gauge; the sum of a Histogram
	counts []atomic.Uint64
}

// Name returns the name of the metric.
func (c *cell) Name() string { return c.definition.name }

func (c *cell) snapshot() Metric {
	m := Metric{
		ID: c.id, Type: c.definition.typ, Name: c.definition.name, Help: c.definition.help,
		Labels: c.labels, Bounds: c.definition.bounds,
		Value: float64(c.whole.Load()) + c.float.get(),
	}
	if c.counts != nil {
		m.Counts = make([]uint64, len(c.counts))
		for i := range c.counts {
			m.Counts[i] = c.counts[i].Load()
		}
	}
	return m
}

type atomicFloat struct{ bits atomic.Uint64 }

func (f *atomicFloat) get() float64  { return math.Float64frombits(f.bits.Load()) }
func (f *atomicFloat) set(v float64) { f.bits.Store(math.Float64bits(v)) }

func (f *atomicFloat) add(delta float64) {
	for {
		old := f.bits.Load()
		sum := math.Float64bits(math.Float64frombits(old) + delta)
		if f.bits.CompareAndSwap(old, sum) {
			return
		}
	}
}
