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

// Values returns the query as parameters of the control API, where "attr" is given once for each
// attribute, as key=value.
func (q *Query) Values() url.Values {
	v := url.Values{}
	set := func(key, value string) {
		if value != "" {
			v.Set(key, value)
		}
	}
	set("component", q.Component)
	set("replica", q.Replica)
	set("version", q.Version)
	set("level", q.Level)
	set("kind", q.Kind)
	set("expr", q.Expr)
	set("since", timeText(q.Since))
	set("until", timeText(q.Until))
	for key, value := range q.Attrs {
		v.Add("attr", key+"="+value)
	}
	if q.Tail >= 0 {
		v.Set("tail", strconv.Itoa(q.Tail))
	}
	if q.Follow {
		v.Set("follow", "true")
	}
	return v
}

func timeText(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Format(time.RFC3339Nano)
}

// ParseQuery is the inverse of Values. The filter is compiled.
func ParseQuery(v url.Values) (*Query, error) {
	known := []string{"component", "replica", "version", "level", "kind", "expr", "since", "until", "attr", "tail", "follow"}
	for key := range v {
		if !slices.Contains(known, key) {
			return nil, fmt.Errorf("unknown parameter %q: known are %s", key, strings.Join(known, ", "))
		}
	}
	q := &Query{Tail: -1, Filter: Filter{
		Component: v.Get("component"), Replica: v.Get("replica"), Version: v.Get("version"),
		Level: v.Get("level"), Kind: v.Get("kind"), Expr: v.Get("expr"),
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
