package weavelet

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"
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
