// Overload measures what calls between processes do when too much is asked of them: with Divisi, with gRPC
// and with Service Weaver, which take turns, case by case and round by round. Every case has processes of its
// own.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/divisi-go/divisi/bench/overload/work"
	"github.com/divisi-go/divisi/bench/report"
)

func main() {
	if system, side := work.Role(); system != "" {
		if side != "client" {
			go work.EndTogether()
		}
		work.Exit(play(system, side))
	}
	rounds := flag.Int("rounds", 3, "how often each case is measured")
	took := flag.Duration("time", 3*time.Second, "how long each measurement takes")
	only := flag.String("cases", "", "measure only cases whose names contain this")
	write := flag.String("write", "", "put the tables into this Markdown file, between its marks, and the chart beside it")
	keep := flag.String("figures", "", "save the figures in this folder")
	flag.StringVar(&programs, "programs", "", "the folder with the program of Service Weaver, which is left out without it")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "overload takes no arguments, and got %q\n", flag.Args())
		os.Exit(2)
	}

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var all []outcome
	for i := range cases {
		c := &cases[i]
		if !strings.Contains(c.name, *only) {
			continue
		}
		o, err := c.measure(ctx, *rounds, *took)
		if err != nil {
			work.Exit(fmt.Errorf("%s: %w", c.name, err))
		}
		all = append(all, o)
		fmt.Fprintf(os.Stderr, "overload: %s\n", c.name)
	}

	if err := figures(all).Save(*keep, "overload"); err != nil {
		work.Exit(err)
	}
	told := text(all, *rounds, *took)
	if *write == "" {
		fmt.Print(told)
		if slices.ContainsFunc(all, func(o outcome) bool { return len(o.failed) > 0 }) {
			os.Exit(1) // it has been said why
		}
		return
	}
	if err := report.Put(*write, "overload", told); err != nil {
		work.Exit(err)
	}
	work.Exit(os.WriteFile(filepath.Join(filepath.Dir(*write), "goodput.svg"), []byte(chart(all)), 0o644))
}
