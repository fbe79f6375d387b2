package process

import (
	"math"
	"testing"

	"github.com/divisi-go/divisi/envelope/protos"
	"github.com/divisi-go/divisi/internal/weavelet"
	"github.com/divisi-go/divisi/metrics"
)

var (
	measuredTotal = metrics.NewCounter("measured_total", "Counted by a test")
	measuredRatio = metrics.NewGauge("measured_ratio", "Not a number")
)

// TestMetricsOnce: a deployer of v0.20 gets a definition once, and then values that have changed.
// One that lists features gets everything each time.
func TestMetricsOnce(t *testing.T) {
	measuredRatio.Set(math.NaN())
	for _, c := range []struct {
		features   []string
		defs, vals [3]int // of the two metrics, in each answer
	}{
		{nil, [3]int{2, 0, 0}, [3]int{2, 0, 1}},
		{[]string{"extensions"}, [3]int{2, 2, 2}, [3]int{2, 2, 2}},
	} {
		w := newWorld(t, nil)
		n := &remoteNetwork{info: &protos.EnvelopeInfo{Features: c.features}}
		control := newControl(w.local(weavelet.LocalOptions{}), n, nil)
		for i := range 3 {
			if i == 2 {
				measuredTotal.Inc()
			}
			reply, err := control.GetMetrics(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			ids := map[uint64]bool{}
			for _, m := range metrics.Snapshot() {
				ids[m.ID] = m.Name == measuredTotal.Name() || m.Name == measuredRatio.Name()
			}
			defs, values := 0, 0
			for _, d := range reply.Update.Defs {
				if ids[d.Id] {
					defs++
				}
			}
			for _, v := range reply.Update.Values {
				if ids[v.Id] {
					values++
				}
			}
			if defs != c.defs[i] || values != c.vals[i] {
				t.Errorf("features %q, answer %d: %d definitions and %d values, want %d and %d",
					c.features, i, defs, values, c.defs[i], c.vals[i])
			}
		}
	}
}
