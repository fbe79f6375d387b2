package weavelet

import (
	"context"
	"hash/fnv"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/divisi-go/divisi/envelope/protos"
	"github.com/divisi-go/divisi/metrics"
)

// GetMetrics answers with all metrics, the application's and those of calls. The protocol allows
// to send only what has changed since the last answer; but an answer can be lost.
func (c *control) GetMetrics(context.Context, *protos.GetMetricsRequest) (
	*protos.GetMetricsReply, error) {
	update := &protos.MetricUpdate{}
	for _, m := range append(metrics.Snapshot(), c.n.w.stats.snapshot()...) {
		def := &protos.MetricDef{
			Id: m.ID, Name: m.Name, Typ: protos.MetricType(m.Type), Help: m.Help, Bounds: m.Bounds,
		}
		for _, l := range m.Labels {
			if def.Labels == nil {
				def.Labels = map[string]string{}
			}
			def.Labels[l.Name] = l.Value
		}
		update.Defs = append(update.Defs, def)
		update.Values = append(update.Values,
			&protos.MetricValue{Id: m.ID, Value: m.Value, Counts: m.Counts})
	}
	return &protos.GetMetricsReply{Update: update}, nil
}

// GetLoad answers with the load of the routed components that run here, since the last answer.
func (c *control) GetLoad(context.Context, *protos.GetLoadRequest) (*protos.GetLoadReply, error) {
	return &protos.GetLoadReply{Load: c.n.w.loads.report(time.Now())}, nil
}

// snapshot returns the metrics of calls.
func (s *methodStats) snapshot() []metrics.Metric {
	s.mu.Lock()
	list := slices.Clone(s.list)
	s.mu.Unlock()
	var all []metrics.Metric
	for _, c := range list {
		if c.count.Load() == 0 {
			continue
		}
		labels := []metrics.Label{
			{Name: "caller", Value: c.caller},
			{Name: "component", Value: c.component},
			{Name: "method", Value: c.method},
			{Name: "remote", Value: strconv.FormatBool(c.remote)},
		}
		latency := metrics.Metric{
			Type: metrics.HistogramType, Name: "divisi_method_latency_micros",
			Help:   "Time of a call, in microseconds; of local calls, one in 16",
			Bounds: latencyBounds[:], Value: float64(c.latencySum.Load()),
		}
		for i := range c.latency {
			latency.Counts = append(latency.Counts, c.latency[i].Load())
		}
		counter := func(name, help string, value *atomic.Uint64) metrics.Metric {
			return metrics.Metric{Type: metrics.CounterType, Name: name, Help: help, Value: float64(value.Load())}
		}
		of := []metrics.Metric{
			latency,
			counter("divisi_method_count", "Calls of a component's method", &c.count),
			counter("divisi_method_error_count", "Calls that ended with an error", &c.errors),
			counter("divisi_method_bytes_request", "Bytes of arguments", &c.bytesOut),
			counter("divisi_method_bytes_reply", "Bytes of results", &c.bytesIn),
		}
		if !c.remote {
			of = of[:3] // nothing is encoded
		}
		for _, m := range of {
			m.ID, m.Labels = metricID(m.Name, labels), labels
			all = append(all, m)
		}
	}
	return all
}

// metricID returns the same number for the same metric in all processes.
func metricID(name string, labels []metrics.Label) uint64 {
	h := fnv.New64a()
	h.Write([]byte(name))
	for _, l := range labels {
		h.Write([]byte("\x00" + l.Name + "\x00" + l.Value))
	}
	return h.Sum64()
}
