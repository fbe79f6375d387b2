package telemetry

import (
	"strings"
	"testing"

	"github.com/divisi-go/divisi/envelope/metrics"
	"github.com/divisi-go/divisi/envelope/protos"
)

func TestWritePrometheus(t *testing.T) {
	calls := func(value float64) *metrics.MetricSnapshot {
		return &metrics.MetricSnapshot{Name: "calls", Type: protos.MetricType_COUNTER, Help: "Calls.",
			Labels: map[string]string{"method": "Add", "caller": "main"}, Value: value}
	}
	size := &metrics.MetricSnapshot{Name: "size", Type: protos.MetricType_GAUGE, Value: 1}
	var b strings.Builder
	err := WritePrometheus(&b, "shop", map[string][]*metrics.MetricSnapshot{
		"shop-b-0": {calls(2)}, "shop-a-0": {size, calls(1)},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := `# HELP calls Calls.
# TYPE calls counter
calls{app="shop",replica="shop-a-0",caller="main",method="Add"} 1
calls{app="shop",replica="shop-b-0",caller="main",method="Add"} 2
# TYPE size gauge
size{app="shop",replica="shop-a-0"} 1
`
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
}
