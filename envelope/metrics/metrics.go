// Package metrics has a weavelet's metrics as a deployer sees them.
package metrics

import "github.com/divisi-go/divisi/envelope/protos"

// MetricSnapshot is a metric and its value at one time.
type MetricSnapshot struct {
	Id     uint64
	Type   protos.MetricType
	Name   string
	Labels map[string]string
	Help   string

	Value  float64 // of a histogram the sum
	Bounds []float64
	Counts []uint64
}

// Snapshots joins the definitions and values of an update. Values without a definition are left
// out.
func Snapshots(update *protos.MetricUpdate) []*MetricSnapshot {
	byID := map[uint64]*MetricSnapshot{}
	var list []*MetricSnapshot
	for _, def := range update.Defs {
		m := &MetricSnapshot{
			Id: def.Id, Type: def.Typ, Name: def.Name, Labels: def.Labels, Help: def.Help,
			Bounds: def.Bounds,
		}
		byID[def.Id] = m
		list = append(list, m)
	}
	for _, v := range update.Values {
		if m, ok := byID[v.Id]; ok {
			m.Value, m.Counts = v.Value, v.Counts
		}
	}
	return list
}
