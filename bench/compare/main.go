// Compare measures calls between two processes, side by side: over a raw socket, with Divisi, and with what
// one would use instead. All rivals run at the same time and take turns, case by case and round by round,
// so that whatever else the machine does is the same for all. Each has a process that calls and one that
// answers, which live for the whole run.
//
// What counts is ratios within a round, and the processor time of both processes for a call.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/divisi-go/divisi/bench/load"
)

func main() {
	if role := os.Getenv(load.RoleVariable); role != "" {
		load.Exit(play(role))
	}
	var o options
	var only, write, figures string
	flag.IntVar(&o.rounds, "rounds", 5, "how often each case is measured")
	flag.DurationVar(&o.took, "time", 600*time.Millisecond, "how long each measurement takes")
	flag.StringVar(&only, "rivals", "", "measure only these, with commas between them")
	flag.StringVar(&o.cases, "cases", "", "measure only cases whose names contain this, such as \"tcp: nothing\"")
	flag.BoolVar(&o.quick, "quick", false, "measure only a few cases")
	flag.StringVar(&programs, "programs", "", "the folder with the program of Service Weaver, which is left out without it")
	flag.StringVar(&write, "write", "", "put the tables into this Markdown file, between its marks, and the chart beside it")
	flag.StringVar(&figures, "figures", "", "save the figures in this folder")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "compare takes no arguments, and got %q\n", flag.Args())
		os.Exit(2)
	}
	if only != "" {
		o.only = strings.Split(only, ",")
	}
	for _, name := range o.only {
		if !isRival(name) {
			fmt.Fprintf(os.Stderr, "-rivals has %q; there are %s\n", name, strings.Join(names(), ", "))
			os.Exit(2)
		}
	}

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	all, err := o.measure(ctx)
	if err != nil {
		load.Exit(err)
	}
	if err := o.figures(all).Save(figures, "calls"); err != nil {
		load.Exit(err)
	}
	if write != "" {
		load.Exit(o.write(write, all))
	}
	fmt.Print(o.text(all))
}
