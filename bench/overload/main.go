// Overload measures what calls between processes do when too much is asked of them: with Divisi, with gRPC
// and with Service Weaver, which take turns, case by case and round by round. Every case has processes of its
// own.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/divisi-go/divisi/bench/overload/work"
	"github.com/divisi-go/divisi/bench/profile"
	"github.com/divisi-go/divisi/bench/report"
)

func main() {
	if system, side := work.Role(); system != "" {
		if err := profile.Begin(system + "/" + side); err != nil {
			work.Exit(err)
		}
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
	profiles := flag.String("profile", "", "have all processes save profiles in this folder")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "overload takes no arguments, and got %q\n", flag.Args())
		os.Exit(2)
	}
	if err := profile.SaveTo(*profiles); err != nil {
		work.Exit(err)
	}

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	all, failed := measure(ctx, *only, *rounds, *took)
	if len(all) == 0 {
		work.Exit(cmp.Or(failed, fmt.Errorf("no case is called %q", *only)))
	}
	told := text(all, *rounds, *took)
	failed = errors.Join(failed, figures(all).Save(*keep, "overload"))
	if *write == "" {
		fmt.Print(told)
		if failed == nil && slices.ContainsFunc(all, func(o outcome) bool { return len(o.failed) > 0 }) {
			os.Exit(1) // it has been said why
		}
		work.Exit(failed)
	}
	work.Exit(errors.Join(failed, report.Put(*write, "overload", told),
		os.WriteFile(filepath.Join(filepath.Dir(*write), "goodput.svg"), []byte(chart(all)), 0o644)))
}

// measure measures cases. When it is interrupted, or one fails, there are the others.
func measure(ctx context.Context, only string, rounds int, took time.Duration) (all []outcome, failed error) {
	for i := range cases {
		c := &cases[i]
		if !strings.Contains(c.name, only) {
			continue
		}
		o, err := c.measure(ctx, rounds, took)
		if ctx.Err() != nil {
			return all, errors.Join(failed, ctx.Err())
		}
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("%s: %w", c.name, err))
			continue
		}
		all = append(all, o)
		fmt.Fprintf(os.Stderr, "overload: %s\n", c.name)
	}
	return all, failed
}
