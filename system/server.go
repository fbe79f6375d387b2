package system

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/divisi-go/divisi/internal/family"
)

// Server makes a function a server of this program, and returns what [Spec.Program] is for it. The function
// gets [Spec.Args], and returns when the process is to end:
//
//	var positiond = system.Server("positiond", serve)
//
// It is called before main. A process of it is this program, whose first argument is the name; [Run] sees to
// that, and refuses to be it where no keeper has started the process. So there is one file to bring to a host, and the next version of it is that of its servers.
func Server(name string, f func(args []string) error) string {
	if servers[name] != nil {
		panic(fmt.Sprintf("package system: the program has two servers %s (%s)", name, caller()))
	}
	servers[name] = f
	return serverPrefix + name
}

// servers are those of this program, by their names. They are complete before main.
var servers = map[string]func(args []string) error{}

// serverPrefix begins what is not the name of a program elsewhere.
const serverPrefix = "server:"

// serverOf returns the name of a server of this program.
func serverOf(program string) (name string, ok bool) {
	name, ok = strings.CutPrefix(program, serverPrefix)
	return name, ok && servers[name] != nil
}

// become makes this process a server, if it was started as one, and does not return then.
func become() {
	if len(os.Args) < 2 || servers[os.Args[1]] == nil {
		return
	}
	name := os.Args[1]
	err := errByHand(name)
	if _, kept := os.LookupEnv(family.Variable); kept {
		err = servers[name](os.Args[2:])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, name+":", err)
		os.Exit(exitFailed)
	}
	os.Exit(0)
}

// errByHand is the error of a server that no keeper has started: it would lack its arguments and its sockets.
func errByHand(name string) error {
	return fmt.Errorf("it is a server of the program %s, which starts it with the arguments and the sockets that it needs: run %s without %q",
		filepath.Base(os.Args[0]), os.Args[0], name)
}
