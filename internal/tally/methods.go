// Package tally counts calls: by their methods and callers, and by the keys that they are routed by.
package tally

import (
	"context"
	"errors"
	"hash/fnv"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/divisi-go/divisi/codegen"
	"github.com/divisi-go/divisi/metrics"
)

// Methods counts the calls of methods.
type Methods struct {
	mu   sync.Mutex // guards list
	list []*Method
}

// Key is what calls are counted by.
type Key struct {
	Caller, Component, Method string
	Remote                    bool
}

// Method counts the calls of one method by one caller.
type Method struct {
	Key
	count, errors     atomic.Uint64
	failures          atomic.Uint64 // those of errors that the method did not return
	bytesIn, bytesOut atomic.Uint64
	latency           [len(latencyBounds) + 1]atomic.Uint64
	latencySum        atomic.Uint64 // in microseconds
}

// Sample is how many local calls there are for each whose time is taken: reading the clock twice takes
// longer than many of them.
const Sample = 16

// latencyBounds are the upper bounds of the latency buckets in microseconds: they double from
// what a call on one machine takes to what nobody waits for.
var latencyBounds = [...]float64{
	50, 100, 200, 400, 800, 1_600, 3_200, 6_400, 12_800, 25_600, 51_200, 102_400,
	204_800, 409_600, 819_200, 1_638_400, 3_276_800, 6_553_600, 13_107_200,
}

// NewMethods returns one that has counted nothing.
func NewMethods() *Methods { return &Methods{} }

// Of returns what counts the calls of one method by one caller.
func (m *Methods) Of(key Key) *Method {
	m.mu.Lock()
	defer m.mu.Unlock()
	if at := slices.IndexFunc(m.list, func(c *Method) bool { return c.Key == key }); at >= 0 {
		return m.list[at]
	}
	c := &Method{Key: key}
	m.list = append(m.list, c)
	return c
}

// Record counts one remote call that ended with a status, or an error on the way. What the method
// has returned is no failure, nor is that the caller does not want the answer any more.
func (c *Method) Record(took time.Duration, request, reply int, status codegen.Status, err error) {
	if ended, ok := errors.AsType[*codegen.StatusError](err); ok {
		status, err = ended.Status, nil
	}
	answered := status == codegen.StatusOK || status == codegen.StatusAppError
	unwanted := status == codegen.StatusCancelled || errors.Is(err, context.Canceled)

	c.count.Add(1)
	if err != nil || status != codegen.StatusOK {
		c.errors.Add(1)
	}
	if (err != nil || !answered) && !unwanted {
		c.failures.Add(1)
	}
	c.bytesOut.Add(uint64(request))
	c.bytesIn.Add(uint64(reply))
	c.add(took)
}

// Begin counts a local call, and returns the time if it is to be measured.
func (c *Method) Begin() (began *time.Time) {
	if c.count.Add(1)%Sample == 1 {
		now := time.Now()
		began = &now
	}
	return began
}

// End counts how a local call ended.
func (c *Method) End(began *time.Time, failed bool) {
	if failed {
		c.errors.Add(1)
	}
	if began != nil {
		c.add(time.Since(*began))
	}
}

// add adds how long one call took.
func (c *Method) add(took time.Duration) {
	micros := uint64(took.Microseconds())
	c.latencySum.Add(micros)
	at, _ := slices.BinarySearch(latencyBounds[:], float64(micros))
	c.latency[at].Add(1)
}

// Snapshot returns the metrics of calls.
func (m *Methods) Snapshot() []metrics.Metric {
	m.mu.Lock()
	list := slices.Clone(m.list)
	m.mu.Unlock()

	var all []metrics.Metric
	for _, c := range list {
		if c.count.Load() == 0 {
			continue
		}
		labels := []metrics.Label{
			{Name: "caller", Value: c.Caller},
			{Name: "component", Value: c.Component},
			{Name: "method", Value: c.Method},
			{Name: "remote", Value: strconv.FormatBool(c.Remote)},
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
			counter("divisi_method_failure_count", "Calls that ended without an answer of the method", &c.failures),
			counter("divisi_method_bytes_request", "Bytes of arguments", &c.bytesOut),
			counter("divisi_method_bytes_reply", "Bytes of results", &c.bytesIn),
		}
		if !c.Remote {
			of = of[:3] // nothing is carried
		}

		for _, metric := range of {
			metric.ID, metric.Labels = MetricID(metric.Name, labels), labels
			all = append(all, metric)
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
