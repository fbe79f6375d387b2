// Load visits a shop as many customers at once, and checks that every page is the right one. It
// never sends a request twice: an answer that does not come is an error, and is reported.
//
//	load -url http://localhost:9000 -duration 30s -users 16
//
// With -journey it makes one recorded visit instead, and writes what it saw to standard output
// without what differs between deployments, so that two can be compared.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"time"
)

// options are the command line.
type options struct {
	url      string
	duration time.Duration
	users    int
	requests int
	think    time.Duration
	timeout  time.Duration
	output   string
	errors   string
	journey  string
}

// errFailed is the end of a run with errors, all of which were reported.
var errFailed = errors.New("some requests failed")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	switch {
	case err == nil:
	case errors.Is(err, errFailed):
		os.Exit(1)
	case errors.Is(err, flag.ErrHelp):
		os.Exit(0)
	default:
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(2)
	}
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	o, err := parse(args, stderr)
	if err != nil {
		return err
	}
	to, err := parseTarget(o.url, o.timeout)
	if err != nil {
		return err
	}
	if o.journey != "" {
		steps, err := readJourney(o.journey)
		if err != nil {
			return err
		}
		return replay(to, steps, stdout, stderr)
	}
	t := newTally()
	if o.errors != "" {
		file, err := os.Create(o.errors)
		if err != nil {
			return fmt.Errorf("cannot write errors: %w", err)
		}
		defer file.Close()
		t.failures = json.NewEncoder(file)
	}
	began := time.Now()
	crowd(ctx, o, to, t)
	report := t.report(o.users, time.Since(began))
	if o.output == "json" {
		encoder := json.NewEncoder(stdout)
		encoder.SetIndent("", "  ")
		err = encoder.Encode(report)
	} else {
		err = report.print(stdout)
	}
	if err == nil && report.Errors > 0 {
		err = errFailed
	}
	return errors.Join(err, t.writeError())
}

func parse(args []string, stderr io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("load", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&o.url, "url", "http://localhost:9000", "the shop; only addresses of this machine are allowed")
	flags.DurationVar(&o.duration, "duration", 30*time.Second, "how long to begin new requests")
	flags.IntVar(&o.users, "users", 16, "how many customers at once; every other one uses each connection once")
	flags.IntVar(&o.requests, "requests", 0, "end after so many requests; 0 is no limit")
	flags.DurationVar(&o.think, "think", 0, "pause of a customer between two pages")
	flags.DurationVar(&o.timeout, "timeout", 20*time.Second, "how long to wait for an answer")
	flags.StringVar(&o.output, "o", "text", "output format: text or json")
	flags.StringVar(&o.errors, "errors", "", "file for failed requests, a line of JSON for each")
	flags.StringVar(&o.journey, "journey", "", "file with a recorded visit to make instead")
	flags.Usage = func() {
		fmt.Fprintf(stderr, "usage: load [flags]\n\n")
		flags.PrintDefaults()
	}
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	switch {
	case flags.NArg() > 0:
		return o, fmt.Errorf("unexpected argument %q: load takes flags only", flags.Arg(0))
	case o.output != "text" && o.output != "json":
		return o, fmt.Errorf("-o %s: the formats are text and json", o.output)
	case o.users < 1 || o.users > 10_000:
		return o, fmt.Errorf("-users %d: need 1 to 10000", o.users)
	case o.duration <= 0 || o.duration > 24*time.Hour:
		return o, fmt.Errorf("-duration %v: need more than nothing and at most a day", o.duration)
	case o.requests < 0 || o.timeout <= 0 || o.think < 0:
		return o, errors.New("-requests, -timeout and -think cannot be negative, and -timeout not 0")
	}
	return o, nil
}
