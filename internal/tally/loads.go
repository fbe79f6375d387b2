package tally

import (
	"math"
	"sync"
	"time"

	"github.com/divisi-go/divisi/envelope/protos"
)

// The keys of a component are counted in slices of equal size, which a deployer that assigns keys
// can put together. Of each the first keys are remembered, to tell many from few.
const (
	loadSlices = 64
	sliceBits  = 58 // of 64, below those that number the slice
	maxKeys    = 256
)

// Loads counts the calls of routed components by the hash of their keys.
type Loads struct {
	mu          sync.Mutex // guards what follows
	since       time.Time
	byComponent map[string]*[loadSlices]sliceLoad
	versions    map[string]uint64 // of assignments, by component
}

type sliceLoad struct {
	calls int
	keys  map[uint64]struct{}
}

// NewLoads returns one that counts from now on.
func NewLoads(now time.Time) *Loads {
	return &Loads{
		since: now, byComponent: map[string]*[loadSlices]sliceLoad{}, versions: map[string]uint64{},
	}
}

// Assigned takes the version of the assignment that the calls of a component follow from now on.
func (l *Loads) Assigned(component string, version uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.versions[component] = version
}

// Add counts one call.
func (l *Loads) Add(component string, shard uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	slices := l.byComponent[component]
	if slices == nil {
		slices = new([loadSlices]sliceLoad)
		l.byComponent[component] = slices
	}
	s := &slices[shard>>sliceBits]
	s.calls++
	if s.keys == nil {
		s.keys = map[uint64]struct{}{}
	}
	if len(s.keys) < maxKeys {
		s.keys[shard] = struct{}{}
	}
}

// Report returns calls per second since the last report, and begins to count again.
func (l *Loads) Report(now time.Time) *protos.LoadReport {
	l.mu.Lock()
	defer l.mu.Unlock()
	seconds := max(now.Sub(l.since).Seconds(), 1e-3)
	report := &protos.LoadReport{Loads: map[string]*protos.LoadReport_ComponentLoad{}}
	for component, slices := range l.byComponent {
		load := &protos.LoadReport_ComponentLoad{Version: l.versions[component]}
		for i, s := range slices {
			if s.calls == 0 {
				continue
			}
			start := uint64(i) << sliceBits
			load.Load = append(load.Load, &protos.LoadReport_SliceLoad{
				Start: start,
				End:   end(i),
				Load:  float64(s.calls) / seconds,
				Size:  uint64(len(s.keys)),
			})
		}
		report.Loads[component] = load
	}
	l.since = now
	l.byComponent = map[string]*[loadSlices]sliceLoad{}
	return report
}

// end returns where a slice ends; the last one has no next.
func end(slice int) uint64 {
	if slice == loadSlices-1 {
		return math.MaxUint64
	}
	return uint64(slice+1) << sliceBits
}
