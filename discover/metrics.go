package discover

import (
	"errors"
	"time"

	"github.com/divisi-go/divisi/metrics"
)

// valueLabels are the labels of what is counted for each Value.
type valueLabels struct {
	Value string
}

// failureLabels are the labels of failed requests.
type failureLabels struct {
	Value string
	Kind  string // permanent, told (the source says when to ask again), other
}

// originLabels are the labels of what says where a value comes from.
type originLabels struct {
	Value  string
	Origin string
}

var (
	contacts = metrics.NewGaugeMap[valueLabels]("discover_contact_timestamp_seconds",
		"When the source of a value last answered, in seconds since 1970")
	adopted = metrics.NewCounterMap[originLabels]("discover_adopted_total",
		"Values that were adopted, by where they come from")
	refused = metrics.NewCounterMap[valueLabels]("discover_refused_total",
		"Answers whose data, or a part of it, was not adopted")
	failures = metrics.NewCounterMap[failureLabels]("discover_errors_total",
		"Requests that failed")
	limited = metrics.NewCounterMap[valueLabels]("discover_limited_seconds_total",
		"How long the limit has made requests wait")
)

// count counts an event.
func count(e Event) {
	value := valueLabels{e.Name}
	switch e.Kind {
	case Answered:
		contacts.Get(value).Set(float64(time.Now().UnixMilli()) / 1e3)
	case Adopting:
		adopted.Get(originLabels{e.Name, string(e.Origin)}).Inc()
	case Refusing:
		refused.Get(value).Inc()
	case Limited:
		limited.Get(value).Add(e.Delay.Seconds())
	case Failing:
		failures.Get(failureLabels{e.Name, kindOf(e.Err)}).Inc()
	}
}

// kindOf returns the label of a failed request.
func kindOf(err error) string {
	var told *SourceError
	switch {
	case !errors.As(err, &told):
		return "other"
	case told.Permanent:
		return "permanent"
	default:
		return "told"
	}
}
