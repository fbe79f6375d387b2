package weavelet

import (
	"hash/fnv"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/divisi-go/divisi/metrics"
)

// methodStats counts the calls of a weavelet.
type methodStats struct {
	mu   sync.Mutex // guards list
	list []*methodCounters
}

// methodKey is what calls are counted by.
type methodKey struct {
	caller, component, method string
	remote                    bool
}

// methodCounters counts the calls of one method by one caller.
type methodCounters struct {
	methodKey
	count, errors, bytesIn, bytesOut atomic.Uint64
	latency                          [len(latencyBounds) + 1]atomic.Uint64
	latencySum                       atomic.Uint64 // in microseconds
}

// latencyBounds are the upper bounds of the latency buckets in microseconds: they double from
// what a call on one machine takes to what nobody waits for.
var latencyBounds = [...]float64{
	50, 100, 200, 400, 800, 1_600, 3_200, 6_400, 12_800, 25_600, 51_200, 102_400,
	204_800, 409_600, 819_200, 1_638_400, 3_276_800, 6_553_600, 13_107_200,
}

func newMethodStats() *methodStats { return &methodStats{} }

// counters returns the counters of one method and caller.
func (s *methodStats) counters(key methodKey) *methodCounters {
	s.mu.Lock()
	defer s.mu.Unlock()
	if at := slices.IndexFunc(s.list, func(c *methodCounters) bool { return c.methodKey == key }); at >= 0 {
		return s.list[at]
	}
	c := &methodCounters{methodKey: key}
	s.list = append(s.list, c)
	return c
}

// record counts one remote call.
func (c *methodCounters) record(took time.Duration, request, reply int, failed bool) {
	c.count.Add(1)
	if failed {
		c.errors.Add(1)
	}
	c.bytesOut.Add(uint64(request))
	c.bytesIn.Add(uint64(reply))
	c.time(took)
}

// time adds how long one call took.
func (c *methodCounters) time(took time.Duration) {
	micros := uint64(took.Microseconds())
	c.latencySum.Add(micros)
	at, _ := slices.BinarySearch(latencyBounds[:], float64(micros))
	c.latency[at].Add(1)
}

// Metrics returns the metrics of calls.
func (w *Weavelet) Metrics() []metrics.Metric { return w.stats.snapshot() }

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
			m.ID, m.Labels = MetricID(m.Name, labels), labels
			all = append(all, m)
		}
	}
	return all
}

// MetricID returns the same number for the same metric in all processes.
func MetricID(name string, labels []metrics.Label) uint64 {
	h := fnv.New64a()
	h.Write([]byte(name))
	for _, l := range labels {
		h.Write([]byte("\x00" + l.Name + "\x00" + l.Value))
	}
	return h.Sum64()
}
