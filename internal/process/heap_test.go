package process

import (
	"runtime"
	"runtime/metrics"
	"testing"
)

// TestRaiseHeap: what the collector waits for is raised, unless the user has said what it is to be.
func TestRaiseHeap(t *testing.T) {
	goal := func() uint64 {
		sample := []metrics.Sample{{Name: "/gc/heap/goal:bytes"}}
		metrics.Read(sample)
		return sample[0].Value.Uint64()
	}
	defer func() { heapBase = nil }()

	for name, value := range map[string]string{"GOGC": "100", "GOMEMLIMIT": "1GiB"} {
		t.Setenv("GOGC", "")
		t.Setenv("GOMEMLIMIT", "")
		t.Setenv(name, value)
		if raiseHeap(); heapBase != nil {
			t.Errorf("raised with %s=%s", name, value)
		}
	}

	t.Setenv("GOMEMLIMIT", "")
	t.Setenv("GOGC", "")
	raiseHeap()
	runtime.GC()
	if g := goal(); g < 2*heapBaseSize {
		t.Errorf("the collector runs at %d bytes", g)
	}
}
