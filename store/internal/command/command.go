// Package command is what one does with a store from a terminal.
package command

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
)

// verb is one of the things that can be done.
type verb struct {
	name, arguments, does string
	run                   func(context.Context, *call) error
}

// call is one use of a verb.
type call struct {
	flags          *flag.FlagSet
	arguments      []string
	stdin          io.Reader
	stdout, stderr io.Writer
}

// parse reads the flags, and takes what follows them as arguments, of which there are min to max.
func (c *call) parse(min, max int) error {
	err := c.flags.Parse(c.arguments)
	if err != nil {
		return err
	}
	c.arguments = c.flags.Args()
	if len(c.arguments) < min || len(c.arguments) > max {
		c.flags.Usage()
		return ErrUsage
	}
	return nil
}

// ErrUsage is returned when arguments are not as they should be, and help was printed.
var ErrUsage = errors.New("the arguments are not as they should be")

func verbs() []verb {
	return []verb{
		{"serve", "[flags]", "serve a store at an address", serve},
		{"status", "[flags]", "say how the members of a store are", using(0, 0, status)},
		{"get", "[flags] KEY", "show the value of a key", get},
		{"put", "[flags] KEY VALUE", "write a key; a VALUE of - is what comes by the standard input", using(2, 2, put)},
		{"delete", "[flags] KEY", "delete a key", using(1, 1, remove)},
		{"watch", "[flags] PREFIX", "show what becomes of keys", using(1, 1, watch)},
		{"compact", "[flags] [REVISION]", "forget the past of keys before a revision, or all of it", using(0, 1, compact)},
		{"defrag", "[flags]", "give back the room of what was forgotten, member by member", using(0, 0, defrag)},
		{"disarm", "[flags]", "end alarms whose reasons are gone", using(0, 0, disarm)},
		{"snapshot", "[flags] FILE", "write the whole state to a file", using(1, 1, snapshot)},
	}
}

// Run does what the arguments say.
func Run(ctx context.Context, arguments []string, stdin io.Reader, stdout, stderr io.Writer) error {
	if len(arguments) == 0 || slices.Contains([]string{"help", "-h", "--help"}, arguments[0]) {
		help(stdout)
		return nil
	}
	for _, v := range verbs() {
		if v.name != arguments[0] {
			continue
		}
		flags := flag.NewFlagSet(v.name, flag.ContinueOnError)
		flags.SetOutput(stderr)
		flags.Usage = func() {
			fmt.Fprintf(flags.Output(), "usage: divisi store %s %s\n\n%s\n\n", v.name, v.arguments, v.does)
			flags.PrintDefaults()
		}
		err := v.run(ctx, &call{flags: flags, arguments: arguments[1:], stdin: stdin, stdout: stdout, stderr: stderr})
		if errors.Is(err, flag.ErrHelp) {
			return nil
		}
		return err
	}
	return fmt.Errorf("there is no command %q: see divisi store help", arguments[0])
}

func help(w io.Writer) {
	fmt.Fprint(w, "usage: divisi store COMMAND\n\nA store of keys with etcd's v3 API, and its clients.\n\n")
	for _, v := range verbs() {
		fmt.Fprintf(w, "  %-34s %s\n", v.name+" "+v.arguments, v.does)
	}
}
