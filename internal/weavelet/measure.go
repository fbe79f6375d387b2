package weavelet

import (
	"context"
	"hash/fnv"
	"math"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/divisi-go/divisi/envelope/protos"
	"github.com/divisi-go/divisi/metrics"
)

// measures makes answers of metrics.
type measures struct {
	mu   sync.Mutex // guards sent
	sent map[uint64]*protos.MetricValue
}

// GetMetrics answers with all metrics, the application's and those of calls. A deployer of v0.20
// gets each definition once, and values that have changed: it takes a second definition for an
// error. Others get everything each time, because an answer can be lost.
func (c *control) GetMetrics(context.Context, *protos.GetMetricsRequest) (
	*protos.GetMetricsReply, error) {
	c.measures.mu.Lock()
	defer c.measures.mu.Unlock()

	update := &protos.MetricUpdate{}
	for _, m := range slices.Concat(metrics.Snapshot(), c.w.stats.snapshot(), c.transport()) {
		value := &protos.MetricValue{Id: m.ID, Value: m.Value, Counts: m.Counts}
		before, known := c.measures.sent[m.ID]
		if known && same(before, value) {
			continue
		}
		if !known {
			update.Defs = append(update.Defs, definition(c.network.info, m))
		}
		update.Values = append(update.Values, value)
		if c.measures.sent != nil {
			c.measures.sent[m.ID] = value
		}
	}
	return &protos.GetMetricsReply{Update: update}, nil
}

// same compares values as they are written, so that one that is not a number equals itself.
func same(a, b *protos.MetricValue) bool {
	return math.Float64bits(a.Value) == math.Float64bits(b.Value) && slices.Equal(a.Counts, b.Counts)
}

func definition(info *protos.EnvelopeInfo, m metrics.Metric) *protos.MetricDef {
	def := &protos.MetricDef{
		Id: m.ID, Name: m.Name, Typ: protos.MetricType(m.Type), Help: m.Help, Bounds: m.Bounds,
	}
	if len(m.Labels) > 0 {
		def.Labels = make(map[string]string, len(m.Labels))
	}
	for _, l := range m.Labels {
		def.Labels[l.Name] = peerName(info, l.Value)
	}
	return def
}

// GetLoad answers with the load of the routed components that run here, since the last answer.
func (c *control) GetLoad(context.Context, *protos.GetLoadRequest) (*protos.GetLoadReply, error) {
	return &protos.GetLoadReply{Load: c.w.loads.report(time.Now())}, nil
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
