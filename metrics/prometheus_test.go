package metrics

import (
	"errors"
	"math"
	"os"
	"strings"
	"testing"
)

// TestWritePrometheus compares with a page that was written by hand from the description of the
// format, so there is no flag that rewrites it.
func TestWritePrometheus(t *testing.T) {
	var r Registry
	r.Gauge("z.temperature", "Degrees \\ outside\nand in").Set(-3.5)
	requests := CounterMapIn[route](&r, "requests", "Requests served")
	requests.Get(route{Path: "/b\\c\"d\ne", Code: 404}).Inc()
	requests.Get(route{Path: "/a", Code: 200, TLS: true}).Add(1e6)
	latency := HistogramMapIn[struct{ Zone string }](&r, "latency_ms", "Time to answer", []float64{0.5, 1, 10})
	for _, v := range []float64{0.25, 0.5, 0.75, 3, 10, 10.5, 2000} {
		latency.Get(struct{ Zone string }{"eu"}).Put(v)
	}
	r.Histogram("plain", "", nil).Put(1)
	r.Gauge("9lives", "").Set(math.Inf(1))
	r.Gauge("broken\xff", "Not \xff UTF-8").Set(math.NaN())
	all := r.Snapshot()
	all = append(all,
		Metric{Type: GaugeType, Name: "requests", Labels: []Label{{"zone", "of another type"}}, Value: 1},
		Metric{Name: "remote", Labels: []Label{{"bad-name", "\xfe"}}, Value: 7},
		Metric{Type: HistogramType, Name: "short", Bounds: []float64{1, 2}, Counts: []uint64{4}},
		Metric{Type: HistogramType, Name: "unbounded", Bounds: []float64{1, math.Inf(1)}, Counts: []uint64{4, 2, 0}})

	var got strings.Builder
	if err := WritePrometheus(&got, all); err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile("testdata/page.prom")
	if err != nil {
		t.Fatal(err)
	}
	if got.String() != string(want) {
		t.Errorf("wrote\n%s\nwant\n%s", got.String(), want)
	}
}

type closed struct{}

var errClosed = errors.New("closed")

func (closed) Write([]byte) (int, error) { return 0, errClosed }

func TestWritePrometheusFails(t *testing.T) {
	var r Registry
	r.Counter("c", "")
	if err := WritePrometheus(closed{}, r.Snapshot()); !errors.Is(err, errClosed) {
		t.Errorf("error %v, want %v", err, errClosed)
	}
}
