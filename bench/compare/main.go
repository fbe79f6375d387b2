// Compare measures calls between two processes, side by side: over a raw socket, with gRPC, and with
// Divisi. All systems run at the same time and take turns, case by case and round by round, so that
// whatever else the machine does is the same for all. Each has a process that calls and one that answers,
// which live for the whole run.
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
)

func main() {
	if role := os.Getenv(roleVariable); role != "" {
		exit(play(role))
	}
	var o options
	var only, write string
	flag.IntVar(&o.rounds, "rounds", 7, "how often each case is measured")
	flag.DurationVar(&o.took, "time", time.Second, "how long each measurement takes")
	flag.StringVar(&only, "systems", "", "measure only these, with commas between them")
	flag.StringVar(&o.cases, "cases", "", "measure only cases whose names contain this")
	flag.StringVar(&write, "write", "", "put the tables into this Markdown file, between its marks")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "compare takes no arguments, and got %q\n", flag.Args())
		os.Exit(2)
	}
	o.systems = systems
	if only != "" {
		o.systems = nil
		for name := range strings.SplitSeq(only, ",") {
			s, err := findSystem(name)
			if err != nil {
				exit(err)
			}
			o.systems = append(o.systems, s)
		}
	}

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	results, err := o.measure(ctx)
	if err != nil {
		exit(err)
	}
	text := o.report(results)
	if write != "" {
		exit(replace(write, text))
	}
	fmt.Print(text)
}

// exit ends the process.
func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}
