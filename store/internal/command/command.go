// Package command is what one does with a store from a terminal.
package command

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
)

// verb is one of the things that can be done.
type verb struct {
	name, arguments, does string
	run                   func(context.Context, *call) error
}

// call is one use of a verb.
type call struct {
	usage          string
	flags          *flag.FlagSet
	arguments      []string
	format         string // of the output: text or json
	stdin          io.Reader
	stdout, stderr io.Writer
}

// output defines the flag of the format.
func (c *call) output() {
	c.flags.StringVar(&c.format, "o", "text", "the `format` of the output: text, or json")
	c.flags.StringVar(&c.format, "output", "text", "the `format`, as -o")
}

// parse reads flags, and min to max arguments among them. What follows "--" are arguments.
func (c *call) parse(min, max int) error {
	rest := c.arguments
	c.arguments = nil
	for len(rest) > 0 {
		err := c.flags.Parse(rest)
		if errors.Is(err, flag.ErrHelp) {
			return err
		}
		if err != nil {
			return fmt.Errorf("%w: %w%s: see divisi store %s --help", ErrUsage, err, known(err), c.flags.Name())
		}
		next := c.flags.Args()
		taken := len(rest) - len(next)
		if taken > 0 && rest[taken-1] == "--" {
			c.arguments = append(c.arguments, next...)
			break
		}
		if len(next) == 0 {
			break
		}
		c.arguments, rest = append(c.arguments, next[0]), next[1:]
	}

	switch {
	case len(c.arguments) < min:
		return fmt.Errorf("%w: an argument is missing: %s", ErrUsage, c.usage)
	case len(c.arguments) > max:
		return fmt.Errorf("%w: %q is too much: %s", ErrUsage, c.arguments[max], c.usage)
	case c.format != "" && c.format != "text" && c.format != "json":
		return fmt.Errorf("%w: -o %q is none of text and json", ErrUsage, c.format)
	}
	return nil
}

// etcd has other names for some flags.
var etcd = map[string]string{
	"-data-dir": "--data", "-listen-client-urls": "--listen", "-quota-backend-bytes": "--quota",
	"-cert-file": "--tls-cert", "-key-file": "--tls-key", "-trusted-ca-file": "--tls-client-ca", "-client-cert-auth": "--tls-client-ca",
	"-endpoints": "--store", "-cacert": "--tls-ca", "-cert": "--tls-cert", "-key": "--tls-key", "-w": "-o", "-write-out": "-o",
}

// known says what a flag of etcd's is called here.
func known(unknown error) string {
	name, found := strings.CutPrefix(unknown.Error(), "flag provided but not defined: ")
	ours := etcd[name]
	if !found || ours == "" {
		return ""
	}
	return ", which is " + ours + " here"
}

// show prints what was done, as JSON in one line if that is asked for.
func (c *call) show(value any, format string, args ...any) error {
	if c.format == "json" {
		return json.NewEncoder(c.stdout).Encode(value)
	}
	_, err := fmt.Fprintf(c.stdout, format, args...)
	return err
}

// ErrUsage is returned when arguments are not as they should be.
var ErrUsage = errors.New("cannot understand this")

func verbs() []verb {
	return []verb{
		{"serve", "[flags]", "serve a store at an address", serveStore},
		{"status", "[flags]", "say how the members of a store are", using(0, 0, tellStatus)},
		{"get", "[flags] KEY", "show the value of a key", get},
		{"put", "[flags] KEY VALUE", "write a key; a VALUE of - is what comes by the standard input", using(2, 2, put)},
		{"delete", "[flags] KEY", "delete a key", remove},
		{"watch", "[flags] PREFIX", "show what becomes of keys", using(1, 1, watch)},
		{"compact", "[flags] [REVISION]", "forget the past of keys before a revision, or all of it", using(0, 1, compact)},
		{"defrag", "[flags]", "give back the room of what was forgotten, member by member", using(0, 0, defrag)},
		{"disarm", "[flags]", "end alarms whose reasons are gone", using(0, 0, disarm)},
		{"snapshot", "[flags] FILE", "write the whole state to a file", using(1, 1, snapshot)},
		{"restore", "[flags] SNAPSHOT", "make a data folder of a snapshot", restore},
		{"recover", "[flags]", "make a store of the folder of a member that has lost the others", recoverStore},
	}
}

// Run does what the arguments say.
func Run(ctx context.Context, arguments []string, stdin io.Reader, stdout, stderr io.Writer) error {
	if len(arguments) == 0 || slices.Contains([]string{"help", "-h", "-help", "--help"}, arguments[0]) {
		help(stdout)
		return nil
	}
	if arguments[0] == "complete" {
		complete(stdout, arguments[1:])
		return nil
	}
	for _, v := range verbs() {
		if v.name != arguments[0] {
			continue
		}
		c := newCall(v, arguments[1:])
		c.stdin, c.stdout, c.stderr = stdin, stdout, stderr
		err := v.run(ctx, c)
		if errors.Is(err, flag.ErrHelp) {
			c.help(v)
			return nil
		}
		return err
	}
	return fmt.Errorf("%w: there is no command %q: see divisi store help", ErrUsage, arguments[0])
}

func newCall(v verb, arguments []string) *call {
	flags := flag.NewFlagSet(v.name, flag.ContinueOnError)
	flags.SetOutput(io.Discard) // errors are told by who calls, and help by us
	return &call{usage: "divisi store " + v.name + " " + v.arguments, flags: flags, arguments: arguments, stdin: strings.NewReader(""), stdout: io.Discard, stderr: io.Discard}
}

func help(w io.Writer) {
	fmt.Fprint(w, "usage: divisi store COMMAND\n\nA store of keys with etcd's v3 API, and its clients.\n\n")
	for _, v := range verbs() {
		fmt.Fprintf(w, "  %-34s %s\n", v.name+" "+v.arguments, v.does)
	}
	fmt.Fprint(w, "\n\"divisi store COMMAND --help\" lists the flags of one.\n")
}

// help says what a verb takes.
func (c *call) help(v verb) {
	fmt.Fprintf(c.stdout, "usage: %s\n\n%s\n\n", c.usage, v.does)
	c.flags.VisitAll(func(f *flag.Flag) {
		kind, usage := flag.UnquoteUsage(f)
		if f.DefValue != "" && f.DefValue != "false" {
			usage += " (default " + f.DefValue + ")"
		}
		fmt.Fprintf(c.stdout, "  %-26s %s\n", strings.TrimSpace(dashes(f.Name)+" "+kind), usage)
	})
}

func dashes(name string) string {
	if len(name) == 1 {
		return "-" + name
	}
	return "--" + name
}

// complete prints what the last word may become, for shells.
func complete(w io.Writer, words []string) {
	if len(words) <= 1 {
		for _, v := range verbs() {
			fmt.Fprintf(w, "%s\t%s\n", v.name, v.does)
		}
		return
	}
	for _, v := range verbs() {
		if v.name != words[0] {
			continue
		}
		c := newCall(v, []string{"--help"})
		_ = v.run(context.Background(), c) // it defines its flags, and does no more
		c.flags.VisitAll(func(f *flag.Flag) {
			_, usage := flag.UnquoteUsage(f)
			fmt.Fprintf(w, "%s\t%s\n", dashes(f.Name), usage)
		})
	}
}
