package telemetry

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Query says what to show of a log.
type Query struct {
	Filter
	Tail   int  // only the last so many that are there; negative means all
	Follow bool // go on with what is written from now on
}

// ParseQuery reads a query from parameters of the control API, where "attr" is given once for each
// attribute, as key=value. It takes no expression, because the deployer must not pay for one whose cost
// has no bound. The filter is compiled.
func ParseQuery(v url.Values) (*Query, error) {
	known := []string{"component", "replica", "version", "level", "kind", "text", "since", "until", "attr", "tail", "follow"}
	for key := range v {
		if !slices.Contains(known, key) {
			return nil, fmt.Errorf("unknown parameter %q: known are %s", key, strings.Join(known, ", "))
		}
	}

	q := &Query{Tail: -1, Filter: Filter{
		Component: v.Get("component"), Replica: v.Get("replica"), Version: v.Get("version"),
		Level: v.Get("level"), Kind: v.Get("kind"), Text: v.Get("text"),
	}}

	var err error
	if q.Attrs, err = ParseAttrs(v["attr"]); err != nil {
		return nil, err
	}

	for key, field := range map[string]*time.Time{"since": &q.Since, "until": &q.Until} {
		text := v.Get(key)
		if text == "" {
			continue
		}
		if *field, err = time.Parse(time.RFC3339Nano, text); err != nil {
			return nil, fmt.Errorf("%s %q is not a time such as %s", key, text, time.RFC3339)
		}
	}

	if text := v.Get("tail"); text != "" {
		if q.Tail, err = strconv.Atoi(text); err != nil {
			return nil, fmt.Errorf("tail %q is no number", text)
		}
	}

	if text := v.Get("follow"); text != "" {
		if q.Follow, err = strconv.ParseBool(text); err != nil {
			return nil, fmt.Errorf("follow %q is neither true nor false", text)
		}
	}

	return q, q.Compile()
}

// ParseAttrs reads attributes written as key=value.
func ParseAttrs(texts []string) (map[string]string, error) {
	attrs := map[string]string{}
	for _, text := range texts {
		key, value, ok := strings.Cut(text, "=")
		if !ok || key == "" {
			return nil, fmt.Errorf("the attribute %q is not of the form key=value", text)
		}
		attrs[key] = value
	}
	return attrs, nil
}
