// Divisigen writes the generated code of packages. It is "divisi generate" for modules that
// want it as a tool of their own, with nothing else of the divisi command:
//
//	go get -tool github.com/divisi-go/divisi/cmd/divisigen
//	go tool divisigen ./...
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"

	"github.com/divisi-go/divisi/internal/gen"
)

func main() {
	var o gen.Options
	flag.BoolVar(&o.Check, "check", false, "write nothing, and fail if generated code is stale")
	flag.StringVar(&o.Tags, "tags", "", "build `tags`, separated by commas")
	flag.Usage = func() {
		fmt.Fprintln(os.Stderr, "usage: divisigen [-check] [-tags list] [packages]")
		flag.PrintDefaults()
	}
	flag.Parse()
	o.Patterns, o.Report = flag.Args(), os.Stderr
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := gen.Run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
