package process

import (
	"context"
	"math"
	"slices"
	"sync"

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
	for _, m := range slices.Concat(metrics.Snapshot(), c.w.Metrics(), c.transport()) {
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
	return &protos.GetLoadReply{Load: c.w.Load()}, nil
}
