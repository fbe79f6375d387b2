package tally

import (
	"math"
	"testing"
	"time"

	"github.com/divisi-go/divisi/codegen"
)

// TestLoads: the load of a component is by slices of its keys, per second, since the last report.
func TestLoads(t *testing.T) {
	now := time.Now()
	l := NewLoads(now)
	l.Assigned("c", 7)
	for range 4 {
		l.Add("c", 0)
	}
	l.Add("c", math.MaxUint64)
	l.Add("c", math.MaxUint64-1)

	now = now.Add(2 * time.Second)
	load := l.Report(now).Loads["c"]
	if load == nil || load.Version != 7 || len(load.Load) != 2 {
		t.Fatalf("the load is %+v", load)
	}
	first, last := load.Load[0], load.Load[1]
	if first.Start != 0 || first.End != 1<<sliceBits || first.Load != 2 || first.Size != 1 {
		t.Errorf("the first slice is %+v", first)
	}
	if last.Start != (loadSlices-1)<<sliceBits || last.End != math.MaxUint64 || last.Load != 1 || last.Size != 2 {
		t.Errorf("the last slice is %+v", last)
	}
	if again := l.Report(now.Add(time.Second)); len(again.Loads) != 0 {
		t.Errorf("what was reported is counted again: %v", again.Loads)
	}
}

// TestMethods: calls by one caller are counted together, however often it asks for the counter.
func TestMethods(t *testing.T) {
	m := NewMethods()
	key := Key{Caller: "a", Component: "b", Method: "Do", Remote: true}
	m.Of(key).Record(60*time.Microsecond, 10, 20, codegen.StatusOK, nil)
	m.Of(key).Record(time.Hour, 1, 2, codegen.StatusAppError, nil)
	m.Of(Key{Caller: "idle"})

	values, ids := map[string]float64{}, map[uint64]bool{}
	for _, metric := range m.Snapshot() {
		values[metric.Name], ids[metric.ID] = metric.Value, true
		if n := len(metric.Counts); n > 0 && (metric.Counts[1] != 1 || metric.Counts[n-1] != 1) {
			t.Errorf("the buckets are %v", metric.Counts)
		}
	}
	for name, want := range map[string]float64{
		"divisi_method_count": 2, "divisi_method_error_count": 1, "divisi_method_failure_count": 0,
		"divisi_method_bytes_request": 11, "divisi_method_bytes_reply": 22,
	} {
		if values[name] != want {
			t.Errorf("%s is %v, want %v", name, values[name], want)
		}
	}
	if len(values) != 6 || len(ids) != 6 {
		t.Errorf("the metrics are %v", values)
	}
}
