package metrics

import (
	"reflect"
	"testing"

	"github.com/divisi-go/divisi/internal/message"
)

// TestDeltas imports what a weavelet of v0.20 sends: each definition once, and the values that have
// changed.
func TestDeltas(t *testing.T) {
	var i Importer
	if got := i.Import(nil); len(got) != 0 {
		t.Errorf("nothing is %v", got)
	}
	first := i.Import(&message.MetricUpdate{
		Defs: []*message.MetricDef{
			{Id: 9, Name: "calls", Typ: message.MetricType_COUNTER, Labels: map[string]string{"a": "b"}},
			{Id: 2, Name: "times", Typ: message.MetricType_HISTOGRAM, Bounds: []float64{1, 2}, Help: "h"},
		},
		Values: []*message.MetricValue{{Id: 9, Value: 1}, {Id: 2, Value: 3, Counts: []uint64{1, 0, 1}}},
	})
	first[0].Labels["a"], first[1].Counts[0] = "changed by the caller", 99
	got := i.Import(&message.MetricUpdate{
		Defs:   []*message.MetricDef{{Id: 5, Name: "late", Typ: message.MetricType_GAUGE}},
		Values: []*message.MetricValue{{Id: 9, Value: 4}, {Id: 77, Value: 1}},
	})
	want := []*MetricSnapshot{
		{Id: 9, Name: "calls", Type: message.MetricType_COUNTER, Labels: map[string]string{"a": "b"}, Value: 4},
		{Id: 2, Name: "times", Type: message.MetricType_HISTOGRAM, Bounds: []float64{1, 2}, Help: "h", Value: 3, Counts: []uint64{1, 0, 1}},
		{Id: 5, Name: "late", Type: message.MetricType_GAUGE},
	}
	if !reflect.DeepEqual(got, want) {
		for n := range got {
			t.Errorf("%+v", got[n])
		}
	}
}

// TestWholeUpdates imports what weavelets of this version send: everything, each time.
func TestWholeUpdates(t *testing.T) {
	var i Importer
	for value := range 3 {
		got := i.Import(&message.MetricUpdate{
			Defs:   []*message.MetricDef{{Id: 1, Name: "calls"}},
			Values: []*message.MetricValue{{Id: 1, Value: float64(value)}},
		})
		if len(got) != 1 || got[0].Name != "calls" || got[0].Value != float64(value) {
			t.Errorf("update %d: %+v", value, got)
		}
	}
}
