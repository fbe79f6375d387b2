package telemetry

import (
	"strings"
	"testing"

	"github.com/divisi-go/divisi/internal/control"
)

func TestWritePrometheus(t *testing.T) {
	calls := func(value control.Number) control.Metric {
		return control.Metric{Name: "calls", Type: "counter", Help: "Calls.",
			Labels: map[string]string{"method": "Add", "caller": "main"}, Value: value}
	}
	size := control.Metric{Name: "size", Type: "gauge", Value: 1}
	var b strings.Builder
	err := WritePrometheus(&b, "shop", []control.ReplicaMetrics{
		{Name: "b-0@/shop", Version: "2", Metrics: []control.Metric{calls(2)}},
		{Name: "a-0@/shop", Version: "2", Metrics: []control.Metric{size, calls(1)}},
		{Name: "a-0@/shop", Version: "1", Metrics: []control.Metric{calls(4)}},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := `# HELP calls Calls.
# TYPE calls counter
calls{app="shop",replica="a-0@/shop",version="1",caller="main",method="Add"} 4
calls{app="shop",replica="a-0@/shop",version="2",caller="main",method="Add"} 1
calls{app="shop",replica="b-0@/shop",version="2",caller="main",method="Add"} 2
# TYPE size gauge
size{app="shop",replica="a-0@/shop",version="2"} 1
`
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
}
