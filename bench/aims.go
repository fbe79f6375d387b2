package main

import (
	"fmt"
	"math"

	"github.com/divisi-go/divisi/bench/report"
)

// aim is a figure with what it is to be.
type aim struct {
	what   string
	bound  float64
	least  bool // it is to be this at least; otherwise at most
	figure func(report.Figures) float64
}

func atMost(bound float64, what string, figure func(report.Figures) float64) aim {
	return aim{what: what, bound: bound, figure: figure}
}

func atLeast(bound float64, what string, figure func(report.Figures) float64) aim {
	return aim{what: what, bound: bound, least: true, figure: figure}
}

// ours is a figure of Divisi in a case of the calls.
func ours(of, what string) func(report.Figures) float64 {
	return func(f report.Figures) float64 { return f.Get(of, "Divisi", what) }
}

// beside is a figure of the store, of etcd's.
func beside(what string) func(report.Figures) float64 { return get("store", what, "of etcd") }

// times is how many times as many calls a CPU-second is good for as with a rival.
func times(rival, of string) func(report.Figures) float64 {
	return func(f report.Figures) float64 { return f.Get(of, rival, "cpu of Divisi") }
}

// partOf is the processor time of a call, of what a rival takes.
func partOf(rival, of string) func(report.Figures) float64 {
	return func(f report.Figures) float64 { return 1 / f.Get(of, rival, "cpu of Divisi") }
}

// partOfBest is the processor time of a call, of what the best of the others takes.
func partOfBest(of string) func(report.Figures) float64 {
	return func(f report.Figures) float64 {
		best := math.NaN()
		for _, rival := range []string{"gRPC", "Connect", "dRPC", "Service Weaver"} {
			if cpu := f.Get(of, rival, "cpu"); !(cpu >= best) {
				best = cpu
			}
		}
		return f.Get(of, "Divisi", "cpu") / best
	}
}

// get is a figure as it is.
func get(name ...string) func(report.Figures) float64 {
	return func(f report.Figures) float64 { return f.Get(name...) }
}

// quotient is one figure over another one.
func quotient(a, b func(report.Figures) float64) func(report.Figures) float64 {
	return func(f report.Figures) float64 { return a(f) / b(f) }
}

const (
	weaver  = "Service Weaver"
	goodput = "calls/s answered in time, of the peak"
	late    = "not answered in time"
)

var aims = []aim{
	atMost(1.15, "nothing, one caller, one CPU: p50 of the raw socket's", ours("unix: nothing x 1, one CPU", "p50 of raw")),
	atMost(1.15, "the same: processor time", ours("unix: nothing x 1, one CPU", "cpu of raw")),
	atMost(0.65, "nothing, 16 callers: processor time, of raw sockets", ours("unix: nothing x 16", "cpu of raw")),
	atMost(0.3, "nothing, 256 callers: the same", ours("unix: nothing x 256", "cpu of raw")),
	atLeast(2, "nothing, one caller, one CPU: calls per CPU-second, times gRPC's", times("gRPC", "unix: nothing x 1, one CPU")),
	atLeast(6, "nothing, 16 callers: times gRPC's", times("gRPC", "unix: nothing x 16")),
	atLeast(15, "nothing, 256 callers: times gRPC's", times("gRPC", "unix: nothing x 256")),
	atLeast(1.15, "nothing, one caller, one CPU, TCP: times Service Weaver's", times(weaver, "tcp: nothing x 1, one CPU")),
	atLeast(2.2, "nothing, 16 callers, TCP: times Service Weaver's", times(weaver, "tcp: nothing x 16")),
	atLeast(4, "nothing, 256 callers, TCP: times Service Weaver's", times(weaver, "tcp: nothing x 256")),
	atLeast(4, "message, 16 callers: times gRPC's", times("gRPC", "unix: message x 16")),
	atLeast(5, "message, 256 callers: times gRPC's", times("gRPC", "unix: message x 256")),
	atLeast(1.8, "message, 16 callers, TCP: times Service Weaver's", times(weaver, "tcp: message x 16")),
	atLeast(1.8, "message, 256 callers, TCP: times Service Weaver's", times(weaver, "tcp: message x 256")),
	atMost(0, "nothing: allocations of the caller", ours("unix: nothing x 16", "allocations of the caller")),
	atMost(0, "nothing: allocations of the callee", ours("unix: nothing x 16", "allocations of the callee")),
	atMost(8, "message: allocations of the caller", ours("unix: message x 16", "allocations of the caller")),
	atMost(8, "message: allocations of the callee", ours("unix: message x 16", "allocations of the callee")),
	atMost(0.6, "64 KB, one caller, one CPU, TCP: processor time, of Service Weaver's", partOf(weaver, "tcp: 64 KB x 1, one CPU")),
	atMost(0.5, "64 KB, 16 callers, TCP: the same", partOf(weaver, "tcp: 64 KB x 16")),
	atMost(0.7, "1 MB, one caller, TCP: processor time, of the best of the others", partOfBest("tcp: 1 MB x 1")),
	atMost(1.25, "TLS, nothing, one caller, one CPU: processor time, of raw TLS", ours("tls: nothing x 1, one CPU", "cpu of raw")),
	atMost(0.5, "TLS, nothing, 16 callers: the same", ours("tls: nothing x 16", "cpu of raw")),
	atMost(1.5, "10 MB in flight: p50 of short calls, of that without", get("large", "4 callers", "Divisi", "p50 / p50 alone")),
	atMost(0.3, "10 MB in flight: p99 of short calls, of Service Weaver's",
		quotient(get("large", "4 callers", "Divisi", "p99 ms"), get("large", "4 callers", weaver, "p99 ms"))),
	atMost(5, "2,000 callers: p99.9 over p50", get("crowd", "2,000 callers", "Divisi", "p99.9 / p50")),
	atLeast(0.75, "64 callers, a method that waits 2 ms: of the ideal rate", get("waiting", "64 callers", "Divisi", "rate")),
	atLeast(0.9, "twice the peak: answered in time, of the peak", get("overload", "2 times the peak", "Divisi", goodput)),
	atLeast(0.85, "three times the peak: the same", get("overload", "3 times the peak", "Divisi", goodput)),
	atMost(0.01, "0.85 of the peak: not answered in time", get("overload", "0.85 times the peak", "Divisi", late)),
	atMost(1.3, "one slow replica of ten: p99, of that with none",
		quotient(get("one slow replica", "one is slow", "Divisi", "p99 ms"), get("ten replicas", "all alike", "Divisi", "p99 ms"))),
	atMost(25, "a call within a process: ns", get("local", "nothing", "Ref")),
	atMost(2, "`Direct`: ns more than a plain call", func(f report.Figures) float64 {
		return max(0, f.Get("local", "nothing", "Direct")-f.Get("local", "nothing", "plain"))
	}),
	atMost(8, "an idle connection: KB of the caller", get("connection", "unix", "Divisi", "caller")),
	atMost(8, "an idle connection: KB of the callee", get("connection", "unix", "Divisi", "callee")),
	atMost(45, "an idle connection with TLS: KB of the caller", get("connection", "tls", "Divisi", "caller")),
	atMost(45, "an idle connection with TLS: KB of the callee", get("connection", "tls", "Divisi", "callee")),
	atMost(0.05, "an idle replica: % of a core", get("idle", "replica", "cpu")),
	atMost(0.5, "`divisi run` with 12 of them and its keeper: % of a core", func(f report.Figures) float64 {
		return f.Get("idle", "deployer", "cpu") + f.Get("idle", "keeper", "cpu")
	}),
	atMost(1.3, "a start by a keeper, of one by `os/exec`", get("start", "keeper")),
	atLeast(0.6, "a file of 1 KB, kept connections: requests per CPU-second, of nginx's", get("web", "1 KB, kept connections", "of nginx")),
	atLeast(0.6, "the same, new connections", get("web", "1 KB, new connections", "of nginx")),
	atLeast(0.9, "a file of 1 MB, kept connections: the same", get("web", "1 MB, kept connections", "of nginx")),
	atLeast(0.9, "the same, new connections", get("web", "1 MB, new connections", "of nginx")),
	atLeast(1, "the store: put, one client: a second, of etcd's", beside("put, one client")),
	atLeast(1, "put, 300 clients: the same", beside("put, 300 clients")),
	atLeast(1, "range, one client: the same", beside("range, one client")),
	atLeast(1, "range, 300 clients: the same", beside("range, 300 clients")),
	atLeast(1, "serializable range, one client: the same", beside("serializable range, one client")),
	atLeast(1, "serializable range, 300 clients: the same", beside("serializable range, 300 clients")),
	atLeast(1, "transaction, 300 clients: the same", beside("transaction, 300 clients")),
	atLeast(1, "events of 1,000 watches of one key: the same", beside("events of 1,000 watches of one key")),
	atLeast(1, "keepalive of a lease, 300 clients: the same", beside("keepalive of a lease, 300 clients")),
	atLeast(1, "a snapshot: the same", beside("KB of a snapshot")),
	atMost(1, "memory of an idle store, of etcd's", beside("idle")),
	atMost(1, "size of the store's program, of etcd's", beside("program")),
	atMost(1000, "the system of examples/orderd up and down: ms", get("system", "up and down")),
}

// tolerance is what is not told apart from the bound: a hundredth of it, or what a call of many does.
func (a aim) tolerance() float64 {
	if a.bound == 0 {
		return 0.05
	}
	return a.bound / 100
}

// met says whether an aim is reached.
func (a aim) met(value float64) string {
	switch {
	case math.IsNaN(value):
		return "not measured"
	case a.least && value >= a.bound-a.tolerance(), !a.least && value <= a.bound+a.tolerance():
		return "met"
	}
	return "**missed**"
}

// aimsTable compares figures with aims.
func aimsTable(f report.Figures) string {
	t := report.NewTable("what", "aim", "figure", "")
	reached := 0
	for _, a := range aims {
		value, sign := a.figure(f), "≤"
		if a.least {
			sign = "≥"
		}
		met := a.met(value)
		if met == "met" {
			reached++
		}
		t.Add(a.what, fmt.Sprintf("%s %g", sign, a.bound), report.Short(value), met)
	}
	return fmt.Sprintf("%s. %d of %d are met.\n\n%s", report.Machine(), reached, len(aims), t)
}
