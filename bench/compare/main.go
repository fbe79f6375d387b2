// Compare measures calls between two processes, side by side: over a raw socket, with Divisi, and with what
// one would use instead. All rivals run at the same time and take turns, case by case and round by round,
// so that whatever else the machine does is the same for all. Each has a process that calls and one that
// answers, which live for the whole run.
//
// What counts is ratios within a round, and the processor time of both processes for a call.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"time"

	"github.com/divisi-go/divisi/bench/load"
	"github.com/divisi-go/divisi/bench/profile"
	"github.com/divisi-go/divisi/bench/report"
)

func main() {
	if role := os.Getenv(load.RoleVariable); role != "" {
		load.Exit(play(role))
	}
	var o options
	var only, write, figures string
	weigh := flag.Bool("connections", false, "measure what an idle connection takes in memory, and nothing else")
	flag.IntVar(&o.rounds, "rounds", 5, "how often each case is measured")
	flag.DurationVar(&o.took, "time", 400*time.Millisecond, "how long each measurement takes")
	flag.StringVar(&only, "rivals", "", "measure only these, with commas between them")
	flag.StringVar(&o.cases, "cases", "", "measure only cases whose names contain this, such as \"tcp: nothing\"")
	flag.BoolVar(&o.quick, "quick", false, "measure only a few cases")
	flag.StringVar(&programs, "programs", "", "the folder with the program of Service Weaver, which is left out without it")
	flag.StringVar(&write, "write", "", "put the tables into this Markdown file, between its marks, and the chart beside it")
	flag.StringVar(&figures, "figures", "", "save the figures in this folder")
	profiles := flag.String("profile", "", "have all processes save profiles in this folder")
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
	if err := profile.SaveTo(*profiles); err != nil {
		load.Exit(err)
	}

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if *weigh {
		table, f, err := o.weigh(ctx)
		load.Exit(errors.Join(err, f.Save(figures, "connection"), show(write, "connection", report.Machine()+".\n\n"+table)))
	}
	load.Exit(o.run(ctx, write, figures))
}

// run measures calls, and writes what was measured, also when it is interrupted.
func (o options) run(ctx context.Context, write, figures string) error {
	all, rounds, interrupted := o.measure(ctx)
	o.rounds = rounds
	if rounds == 0 {
		return interrupted
	}
	err := errors.Join(interrupted, o.figures(all).Save(figures, "calls"), show(write, "calls", o.text(all)))
	if write != "" {
		err = errors.Join(err, os.WriteFile(filepath.Join(filepath.Dir(write), "calls.svg"), []byte(o.chart(all)), 0o644))
	}
	return err
}

// show puts text into a part of a Markdown file, or prints it if there is none.
func show(file, part, text string) error {
	if file == "" {
		_, err := fmt.Print(text)
		return err
	}
	return report.Put(file, part, text)
}
