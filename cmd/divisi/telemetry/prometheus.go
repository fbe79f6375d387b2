package telemetry

import (
	"io"
	"maps"
	"slices"

	deployed "github.com/divisi-go/divisi/envelope/metrics"
	"github.com/divisi-go/divisi/metrics"
)

// WritePrometheus writes the metrics of replicas as Prometheus reads them, each with the names of
// the application and the replica as labels.
func WritePrometheus(w io.Writer, app string, byReplica map[string][]*deployed.MetricSnapshot) error {
	var all []metrics.Metric
	for _, replica := range slices.Sorted(maps.Keys(byReplica)) {
		for _, m := range byReplica[replica] {
			labels := []metrics.Label{{Name: "app", Value: app}, {Name: "replica", Value: replica}}
			for _, key := range slices.Sorted(maps.Keys(m.Labels)) {
				labels = append(labels, metrics.Label{Name: key, Value: m.Labels[key]})
			}
			all = append(all, metrics.Metric{
				ID: m.Id, Type: metrics.Type(m.Type), Name: m.Name, Help: m.Help, Labels: labels,
				Value: m.Value, Bounds: m.Bounds, Counts: m.Counts,
			})
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
