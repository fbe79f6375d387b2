// Overload measures what calls between processes do when too much is asked of them: with Divisi and with
// gRPC, which take turns, case by case and round by round. Every case has processes of its own.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"time"
)

func main() {
	if role := os.Getenv(roleVariable); role != "" {
		exit(play(role))
	}
	rounds := flag.Int("rounds", 3, "how often each case is measured")
	took := flag.Duration("time", 3*time.Second, "how long each measurement takes")
	only := flag.String("cases", "", "measure only cases whose names contain this")
	write := flag.String("write", "", "put the tables into this Markdown file, between its marks")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "overload takes no arguments, and got %q\n", flag.Args())
		os.Exit(2)
	}

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var results []result
	for _, c := range cases {
		if !c.matches(*only) {
			continue
		}
		all, err := c.measure(ctx, *rounds, *took)
		if err != nil {
			exit(fmt.Errorf("%s: %w", c.name, err))
		}
		results = append(results, all...)
	}
	text := report(results, *rounds, *took)
	if *write != "" {
		exit(replace(*write, text))
	}
	fmt.Print(text)
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}
