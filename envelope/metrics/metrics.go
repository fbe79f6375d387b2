// Package metrics has a weavelet's metrics as a deployer sees them.
package metrics

import (
	"maps"
	"slices"

	"github.com/divisi-go/divisi/internal/message"
)

// MetricSnapshot is a metric and its value at one time.
type MetricSnapshot struct {
	Id     uint64
	Type   message.MetricType
	Name   string
	Labels map[string]string
	Help   string

	Value  float64 // of a histogram the sum
	Bounds []float64
	Counts []uint64
}

// Importer joins the definitions and values of one weavelet's updates. Weavelets of v0.20 define a
// metric once and leave out values that have not changed, so an update says only what to add to
// those before. The zero value is ready. It is not safe for concurrent use.
type Importer struct {
	metrics map[uint64]*MetricSnapshot
	order   []uint64 // of the first definitions
}

// Import adds an update, which may be nil, and returns all metrics in the order in which they were
// first defined. The caller owns them. Values without a definition are left out.
func (i *Importer) Import(update *message.MetricUpdate) []*MetricSnapshot {
	if i.metrics == nil {
		i.metrics = map[uint64]*MetricSnapshot{}
	}
	if update == nil {
		update = &message.MetricUpdate{}
	}
	for _, def := range update.Defs {
		m, ok := i.metrics[def.Id]
		if !ok {
			m = &MetricSnapshot{}
			i.metrics[def.Id] = m
			i.order = append(i.order, def.Id)
		}
		m.Id, m.Type, m.Name, m.Help = def.Id, def.Typ, def.Name, def.Help
		m.Labels, m.Bounds = def.Labels, def.Bounds
	}
	for _, v := range update.Values {
		if m, ok := i.metrics[v.Id]; ok {
			m.Value, m.Counts = v.Value, v.Counts
		}
	}
	all := make([]*MetricSnapshot, len(i.order))
	for n, id := range i.order {
		m := *i.metrics[id]
		m.Labels, m.Bounds, m.Counts = maps.Clone(m.Labels), slices.Clone(m.Bounds), slices.Clone(m.Counts)
		all[n] = &m
	}
	return all
}
