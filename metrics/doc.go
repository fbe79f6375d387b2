// Package metrics counts and measures what an application does: counters, gauges and histograms,
// with or without labels. The names and their meaning are those of Service Weaver's package
// metrics; deployers collect the values from every process.
//
// Metrics are package variables, made once and used from anywhere:
//
//	var (
//		orders  = metrics.NewCounter("orders", "Orders placed")
//		waiting = metrics.NewGauge("orders_waiting", "Orders placed and not yet sent")
//		latency = metrics.NewHistogram("order_latency_ms", "Time to place an order, in ms",
//			[]float64{1, 10, 100, 1000})
//	)
//
// # Labels
//
// A metric with labels is a map from values of a struct to metrics without. The fields of the
// struct are exported and of type string, bool, or one of the integer types. A label is called
// like its field with the first letter in lower case, or as the field's tag `divisi:"name"` says;
// the tag `weaver:"name"` of Service Weaver means the same.
//
//	type labels struct {
//		Method string // label "method"
//		Status int    `divisi:"code"` // label "code"
//	}
//
//	var requests = metrics.NewCounterMap[labels]("requests", "Requests by method and status")
//
//	requests.Get(labels{Method: "GET", Status: 200}).Inc()
//
// Every combination of labels that was ever used stays in memory and is exported from then on,
// so a label is no place for what users may choose freely.
//
// # Cost
//
// Changing a metric takes one or two atomic operations, and Get no lock and no allocation once
// the combination has been in use for a while. Where even a map look-up is too much, keep what
// Get returned: it stays valid.
package metrics
