package process

import (
	"github.com/divisi-go/divisi/internal/call"
	"github.com/divisi-go/divisi/internal/tally"
	"github.com/divisi-go/divisi/metrics"
)

// transport returns the metrics of what lies below the calls of methods: the connections that this
// weavelet makes and takes, and the spans that it has lost.
func (c *control) transport() []metrics.Metric {
	var all []metrics.Metric
	add := func(m metrics.Metric) {
		if m.Value != 0 {
			m.ID = tally.MetricID(m.Name, m.Labels)
			all = append(all, m)
		}
	}
	connections := func(s call.Stats, labels ...metrics.Label) {
		counter := func(name, help string, value uint64) {
			add(metrics.Metric{Type: metrics.CounterType, Name: name, Help: help, Labels: labels, Value: float64(value)})
		}
		add(metrics.Metric{
			Type: metrics.GaugeType, Name: "divisi_connections", Labels: labels,
			Help: "Connections with other processes that are open", Value: float64(s.Connections),
		})
		counter("divisi_connection_bytes_sent", "Bytes written to connections, above TLS", s.BytesOut)
		counter("divisi_connection_bytes_received", "Bytes read from connections, above TLS", s.BytesIn)
		counter("divisi_call_retries", "Calls that were sent once more", s.Retries)
		counter("divisi_calls_shed", "Calls that were refused because of too much to do", s.Shed)
		counter("divisi_replica_ejections", "Times that a replica was left out for a while because it did far worse than others", s.Ejections)
		counter("divisi_connections_refused", "Connections that were turned away", s.Refused)
	}

	for _, r := range c.network.all() {
		connections(r.pool.Stats(), metrics.Label{Name: "callee", Value: r.component.Info.Name})
	}
	connections(c.server.Stats(), metrics.Label{Name: "callee", Value: "here"})
	add(metrics.Metric{
		Type: metrics.CounterType, Name: "divisi_spans_dropped",
		Help: "Spans that were lost because the deployer did not take them", Value: float64(c.w.Tracer().Dropped()),
	})
	return all
}
