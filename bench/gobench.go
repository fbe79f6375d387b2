package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/divisi-go/divisi/bench/report"
)

// rounds are arguments of the go command: three runs, or a moment.
func (b *bench) rounds(time string) []string {
	if b.short {
		return []string{"-benchtime", "5x", "-count", "1"}
	}
	return []string{"-benchtime", time, "-count", "3"}
}

// local compares calls within a process.
func (b *bench) local(ctx context.Context) error {
	seen, err := report.RunBenchmarks(ctx, ".", nil, append(b.rounds("100ms"), "-bench", "Local", "./echo")...)
	if err != nil {
		return err
	}
	ways := []string{"plain", "Direct", "Ref", "by hand"}
	t := report.NewTable("", "plain", "`Direct`", "`Ref`", "by hand")
	figures := report.Figures{}
	for _, what := range []string{"nothing", "numbers", "text", "1 KB", "100 numbers", "100 structs", "64 KB", "message", "64 KB, shared", "message, shared"} {
		cells := []string{strings.Replace(what, "shared", "`//divisi:shared`", 1)}
		for _, way := range ways {
			name := "Local/Local/" + what + "/" + way // the runner is called so as well
			took, ok := seen.Lowest(name, "ns/op")
			if !ok {
				cells = append(cells, "")
				continue
			}
			cell := report.Short(took)
			if allocs, _ := seen.Lowest(name, "allocs/op"); allocs > 0 {
				cell += fmt.Sprintf(" (%.0f)", allocs)
			}
			cells = append(cells, cell)
			figures.Set(took, "local", what, way)
		}
		t.Add(cells...)
	}
	return b.keep("local", figures, t)
}

// codec compares what makes bytes of messages. Service Weaver's may be missing.
func (b *bench) codec(ctx context.Context) error {
	args := append(b.rounds("200ms"), "-bench", "Codec")
	seen, err := report.RunBenchmarks(ctx, ".", nil, append(args, "./echo")...)
	if err != nil {
		return err
	}
	theirs, failed := report.RunBenchmarks(ctx, "serviceweaver", []string{"GOWORK=off"}, append(args, ".")...)
	t := report.NewTable("", "encode", "allocations", "decode", "allocations")
	for _, name := range []string{"Divisi", "Service Weaver", "vtprotobuf", "protobuf", "gob", "JSON"} {
		cells := []string{name}
		for _, side := range []string{"encode", "decode"} {
			of := seen
			if name == "Service Weaver" {
				of = theirs
			}
			took, ok := of.Lowest("Codec/"+name+"/"+side, "ns/op")
			if !ok {
				cells = append(cells, "failed", "")
				continue
			}
			allocs, _ := of.Lowest("Codec/"+name+"/"+side, "allocs/op")
			cells = append(cells, fmt.Sprintf("%.0f ns", took), fmt.Sprintf("%.0f", allocs))
		}
		t.Add(cells...)
	}
	text := report.Machine() + ".\n\n" + t.String()
	if failed != nil {
		text += fmt.Sprintf("\nService Weaver's failed:\n\n```\n%v\n```\n", failed)
	}
	return report.Put(b.file, "codec", text)
}

// start compares starts of a process.
func (b *bench) start(ctx context.Context) error {
	seen, err := report.RunBenchmarks(ctx, ".", nil, append(b.rounds("500x"), "-bench", "Start", "./start")...)
	if err != nil {
		return err
	}
	of := seen["Start"]
	t := report.NewTable("", "µs", "against `os/exec`")
	for _, way := range []struct{ name, text string }{
		{"exec", "`exec.Cmd.Start`"},
		{"inside", "a keeper in the same process"},
		{"keeper", "a keeper in a process of its own"},
		{"nothing", "to ask that keeper for nothing"},
	} {
		against := "1"
		if way.name != "exec" {
			against = report.Spread(of[way.name+"/exec"])
		}
		t.Add(way.text, report.Spread(of["µs/"+way.name]), against)
	}
	figures := report.Figures{}
	figures.Set(report.Median(of["keeper/exec"]), "start", "keeper")
	return b.keep("start", figures, t)
}

// system measures how long the system of examples/orderd takes to come up and to go down.
func (b *bench) system(ctx context.Context) error {
	seen, err := report.RunBenchmarks(ctx, "../examples/orderd", nil, append(b.rounds("10x"), "-bench", "UpAndDown", ".")...)
	if err != nil {
		return err
	}
	of := seen["UpAndDown"]
	t := report.NewTable("", "ms")
	t.Add("up: orders are taken", report.Spread(of["ms/up"]))
	t.Add("down: all servers have ended", report.Spread(of["ms/down"]))
	figures := report.Figures{}
	figures.Set(report.Median(of["ms/up"])+report.Median(of["ms/down"]), "system", "up and down")
	return b.keep("system", figures, t)
}
