package telemetry

import (
	"cmp"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/divisi-go/divisi/internal/control"
	"github.com/divisi-go/divisi/metrics"
)

// WritePrometheus writes the metrics of replicas as Prometheus reads them, each with the names of
// the application and the replica, and with its version, as labels.
func WritePrometheus(w io.Writer, app string, replicas []control.ReplicaMetrics) error {
	var all []metrics.Metric
	for _, r := range slices.SortedFunc(slices.Values(replicas), byName) {
		for _, m := range r.Metrics {
			labels := []metrics.Label{{Name: "app", Value: app}, {Name: "replica", Value: r.Name},
				{Name: "version", Value: r.Version}}
			for _, key := range slices.Sorted(maps.Keys(m.Labels)) {
				labels = append(labels, metrics.Label{Name: key, Value: m.Labels[key]})
			}

			metric := metrics.Metric{
				Type: typeOf(m), Name: m.Name, Help: m.Help, Labels: labels,
				Value: float64(m.Value), Counts: m.Counts,
			}

			for _, b := range m.Bounds {
				metric.Bounds = append(metric.Bounds, float64(b))
			}

			all = append(all, metric)
		}
	}

	// Metrics of one name stand together.
	slices.SortStableFunc(all, func(a, b metrics.Metric) int {
		switch {
		case a.Name < b.Name:
			return -1
		case a.Name > b.Name:
			return 1
		}
		return 0
	})

	return metrics.WritePrometheus(w, all)
}

func byName(a, b control.ReplicaMetrics) int {
	return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Version, b.Version))
}

// typeOf returns the type of a metric, or zero, which Prometheus calls untyped: a program that was built
// later may have types that are unknown here.
func typeOf(m control.Metric) metrics.Type {
	for _, t := range []metrics.Type{metrics.CounterType, metrics.GaugeType, metrics.HistogramType} {
		if t.String() == m.Type {
			return t
		}
	}
	return 0
}
