package control

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
)

// ReplicaMetrics are the metrics of one replica.
type ReplicaMetrics struct {
	Name    string   `json:"name"` // such as "cart-0@/shop"
	Version string   `json:"version"`
	Group   string   `json:"group"`
	Metrics []Metric `json:"metrics"`
}

// Metric is a metric and its value at one time.
type Metric struct {
	Name   string            `json:"name"`
	Type   string            `json:"type"` // counter, gauge or histogram
	Help   string            `json:"help"`
	Labels map[string]string `json:"labels"`
	Value  Number            `json:"value"`            // of a histogram the sum
	Bounds []Number          `json:"bounds,omitempty"` // of a histogram's buckets
	Counts []uint64          `json:"counts,omitempty"` // in each bucket, one more than bounds
}

// Number is a number that JSON can have, or one of the strings "NaN", "+Inf" and "-Inf".
type Number float64

var (
	_ json.Marshaler   = Number(0)
	_ json.Unmarshaler = (*Number)(nil)
)

// MarshalJSON writes a number.
func (n Number) MarshalJSON() ([]byte, error) {
	f := float64(n)
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return json.Marshal(strconv.FormatFloat(f, 'g', -1, 64))
	}
	return json.Marshal(f)
}

// UnmarshalJSON reads what MarshalJSON writes.
func (n *Number) UnmarshalJSON(data []byte) error {
	var text string
	if json.Unmarshal(data, &text) != nil {
		return json.Unmarshal(data, (*float64)(n))
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return fmt.Errorf("%s is no number", data)
	}
	*n = Number(f)
	return nil
}

// ReplicaProfile is a profile of one replica.
type ReplicaProfile struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Group   string `json:"group"`
	Profile []byte `json:"profile"` // in pprof's format; base64 in JSON
}

// Profiles is the answer to a request for profiles.
type Profiles struct {
	Profiles []ReplicaProfile `json:"profiles"`
	Failed   string           `json:"failed,omitempty"` // why some are missing
}
