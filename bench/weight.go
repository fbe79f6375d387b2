package main

import (
	"context"
	"fmt"
	"os"

	"github.com/divisi-go/divisi/bench/report"
)

// weight compares the smallest application with the same program without Divisi.
func (b *bench) weight(ctx context.Context) error {
	t := report.NewTable("", "MB", "against `net/http`")
	figures := report.Figures{}
	alone := 0.0
	for _, way := range []struct{ text, folder string }{
		{"`net/http` only", "./hello"},
		{"examples/hello", "../examples/hello"},
	} {
		if err := b.compile(ctx, way.folder); err != nil {
			return err
		}
		info, err := os.Stat(b.program("hello"))
		if err != nil {
			return err
		}
		size := float64(info.Size()) / 1e6
		if alone == 0 {
			alone = size
		}
		t.Add(way.text, report.Short(size), fmt.Sprintf("%.2f", size/alone))
		figures.Set(size, "weight", way.text)
	}
	return b.keep("weight", figures, t)
}
