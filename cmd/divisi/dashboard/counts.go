package dashboard

import (
	"strings"

	"github.com/divisi-go/divisi/internal/control"
	"github.com/divisi-go/divisi/internal/name"
)

// Calls are the calls of one method by one component, over all replicas. Components have their
// short names, as in the status.
type Calls struct {
	Caller    string  `json:"caller"`
	Component string  `json:"component"`
	Method    string  `json:"method"`
	Count     float64 `json:"count"`
	Errors    float64 `json:"errors"`   // of the method, or of the call
	Failures  float64 `json:"failures"` // of the call: the method did not answer
	Times
}

// Requests are the HTTP requests to all replicas.
type Requests struct {
	Count  float64 `json:"count"`
	Errors float64 `json:"errors"` // of the server
	Times
}

// Times say how long calls took: how many took up to each bound, and, last, longer.
type Times struct {
	Bounds []control.Number `json:"bounds"`
	Counts []uint64         `json:"counts"`
}

// add adds a histogram. All processes have the same bounds; one of another build that has others is
// left out of the counts.
func (t *Times) add(m control.Metric) {
	if t.Counts == nil {
		t.Bounds, t.Counts = m.Bounds, make([]uint64, len(m.Counts))
	}
	if len(m.Counts) != len(t.Counts) {
		return
	}
	for i, n := range m.Counts {
		t.Counts[i] += n
	}
}

func calls(replicas []control.ReplicaMetrics) []Calls {
	found := map[[3]string]*Calls{}
	for _, r := range replicas {
		for _, m := range r.Metrics {
			if !strings.HasPrefix(m.Name, "divisi_method_") {
				continue
			}
			key := [3]string{m.Labels["caller"], m.Labels["component"], m.Labels["method"]}
			c := found[key]
			if c == nil {
				c = &Calls{Caller: name.Short(key[0]), Component: name.Short(key[1]), Method: key[2]}
				found[key] = c
			}

			switch m.Name {
			case "divisi_method_count":
				c.Count += float64(m.Value)
			case "divisi_method_error_count":
				c.Errors += float64(m.Value)
			case "divisi_method_failure_count":
				c.Failures += float64(m.Value)
			case "divisi_method_latency_micros":
				c.add(m)
			}
		}
	}

	list := []Calls{}
	for _, c := range found {
		list = append(list, *c)
	}
	return list
}

func requests(replicas []control.ReplicaMetrics) Requests {
	var all Requests
	for _, r := range replicas {
		for _, m := range r.Metrics {
			switch m.Name {
			case "divisi_http_request_count":
				all.Count += float64(m.Value)
				if m.Labels["code"] == "5" {
					all.Errors += float64(m.Value)
				}
			case "divisi_http_request_latency_micros":
				all.add(m)
			}
		}
	}
	return all
}
