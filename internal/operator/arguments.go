package operator

import (
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

// commands are those of divisi about a program that somebody may look for among its arguments, and what they do.
var commands = []struct{ name, form, what string }{
	{"status", "divisi status %s", "shows how it is"},
	{"ps", "divisi ps %s", "lists its servers"},
	{"logs", "divisi logs %s", "shows what they say"},
	{"questions", "divisi questions %s", "lists what it asks"},
	{"verbs", "divisi verbs %s", "lists what it can be told"},
	{"dashboard", "divisi dashboard %s", "serves its page"},
	{"stop", "divisi stop %s", "stops it"},
}

// exitUsage is the exit code of wrong use.
const exitUsage = 2

// Arguments refuses arguments of a program that takes none, or says what it is if they ask for that; ok is false
// then, and the program ends with a code. It takes the flags that its main function has parsed. Flags that nobody
// has parsed yet are for whoever declares them.
func Arguments(name string, out, errOut io.Writer) (code int, ok bool) {
	rest, declared := os.Args[1:], 0
	flag.VisitAll(func(*flag.Flag) { declared++ })
	if flag.Parsed() {
		rest = flag.Args()
	}
	if len(rest) == 0 || declared > 0 && !flag.Parsed() {
		return 0, true
	}
	return refuse(name, rest[0], out, errOut), false
}

// refuse answers the first argument of a program that takes none.
func refuse(name, arg string, out, errOut io.Writer) int {
	if slices.Contains([]string{"-h", "-help", "--help", "help"}, arg) {
		fmt.Fprintf(out, "%s is a system that is a program. To run it starts the system, to run it again finds what runs, and\n"+
			"to run its next version upgrades that. Ctrl-C stops everything; however else it ends, what runs goes on.\n\n", name)
		for _, c := range commands {
			fmt.Fprintf(out, "  %-30s # %s\n", fmt.Sprintf(c.form, name), c.what)
		}
		return 0
	}

	way := "see " + os.Args[0] + " --help"
	for _, c := range commands {
		if c.name == strings.TrimLeft(arg, "-") {
			way = fmt.Sprintf(c.form, name) + " " + c.what
		}
	}
	fmt.Fprintf(errOut, "%s: it takes no argument %q, and has not been run: %s\n", name, arg, way)
	return exitUsage
}
