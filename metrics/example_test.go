package metrics_test

import (
	"fmt"
	"os"

	"github.com/divisi-go/divisi/metrics"
)

func Example() {
	// In a program these are package variables.
	orders := metrics.NewCounter("example_orders", "Orders placed")
	waiting := metrics.NewGauge("example_waiting", "Orders placed and not yet sent")

	orders.Inc()
	orders.Add(2)
	waiting.Set(3)
	waiting.Sub(1)

	for _, m := range metrics.Snapshot() {
		if m.Name == "example_orders" || m.Name == "example_waiting" {
			fmt.Println(m.Type, m.Name, m.Value)
		}
	}
	// Output:
	// counter example_orders 3
	// gauge example_waiting 2
}

func ExampleNewCounterMap() {
	type labels struct {
		Method string
		Status int `divisi:"code"`
	}
	requests := metrics.NewCounterMap[labels]("example_requests", "Requests by method and status")

	requests.Get(labels{Method: "GET", Status: 200}).Inc()

	for _, m := range metrics.Snapshot() {
		if m.Name == "example_requests" {
			fmt.Println(m.Name, m.Labels, m.Value)
		}
	}
	// Output: example_requests [{code 200} {method GET}] 1
}

func ExampleNewGaugeMap() {
	type labels struct{ Queue string }
	length := metrics.NewGaugeMap[labels]("example_length", "Length of the queue")

	urgent := length.Get(labels{"urgent"}) // keep it where speed matters
	urgent.Set(3)
	urgent.Sub(1)
	length.Get(labels{"other"}).Set(7)

	for _, m := range metrics.Snapshot() {
		if m.Name == "example_length" {
			fmt.Println(m.Labels, m.Value)
		}
	}
	// Unordered output:
	// [{queue other}] 7
	// [{queue urgent}] 2
}

func ExampleNewHistogram() {
	latency := metrics.NewHistogram("example_latency_ms", "Time to answer", []float64{1, 10, 100})

	latency.Put(0.5)
	latency.Put(20)
	latency.Put(500)

	for _, m := range metrics.Snapshot() {
		if m.Name == "example_latency_ms" {
			fmt.Println("sum", m.Value, "between bounds", m.Counts)
		}
	}
	// Output: sum 520.5 between bounds [1 0 1 1]
}

func ExampleRegistry() {
	var registry metrics.Registry
	latency := registry.Histogram("latency_ms", "Time to answer", []float64{1, 10})

	latency.Put(0.5)
	latency.Put(10)
	latency.Put(11)

	if err := metrics.WritePrometheus(os.Stdout, registry.Snapshot()); err != nil {
		fmt.Println(err)
	}
	// Output:
	// # HELP latency_ms Time to answer
	// # TYPE latency_ms histogram
	// latency_ms_bucket{le="1"} 1
	// latency_ms_bucket{le="10"} 2
	// latency_ms_bucket{le="+Inf"} 3
	// latency_ms_sum 21.5
	// latency_ms_count 3
}
