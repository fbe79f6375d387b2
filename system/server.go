package system

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/divisi-go/divisi/internal/family"
)

// Function is what a process of a [Server] does, until it returns. It gets [Spec.Args], of which there have to be as many
// as it takes; a function of a slice takes any number.
type Function interface {
	func([]string) error | func() error | func(string) error | func(_, _ string) error | func(_, _, _ string) error
}

// Server makes a function a server of this program, and returns what [Spec.Program] is for it:
//
//	var positiond = system.Server("positiond", func(dir, address string) error { ... })
//
// It is called before main. A process of it is this program, whose first argument is the name; [Run] sees to
// that, and refuses to be it where no keeper has started the process. So there is one file to bring to a host, and the
// next version of it is that of its servers. The error of a start with another number of arguments names the server
// and the call.
func Server[F Function](name string, f F) string {
	if _, ok := servers[name]; ok {
		panic(fmt.Sprintf("package system: the program has two servers %s (%s)", name, caller()))
	}
	servers[name] = ownServer{name, any(f)}
	return serverPrefix + name
}

// ownServer is a server of this program.
type ownServer struct {
	name string
	f    any // a Function
}

// servers are those of this program, by their names. They are complete before main.
var servers = map[string]ownServer{}

// check says whether there is another number of arguments than the server takes.
func (s ownServer) check(args int) error {
	takes := args
	switch s.f.(type) {
	case func() error:
		takes = 0
	case func(string) error:
		takes = 1
	case func(_, _ string) error:
		takes = 2
	case func(_, _, _ string) error:
		takes = 3
	}
	if args != takes {
		return fmt.Errorf("the server %s is given %d arguments, and takes %d", s.name, args, takes)
	}
	return nil
}

// serve is the process of the server.
func (s ownServer) serve(args []string) error {
	if err := s.check(len(args)); err != nil {
		return err
	}
	switch f := s.f.(type) {
	case func() error:
		return f()
	case func(string) error:
		return f(args[0])
	case func(_, _ string) error:
		return f(args[0], args[1])
	case func(_, _, _ string) error:
		return f(args[0], args[1], args[2])
	}
	return s.f.(func([]string) error)(args)
}

// serverPrefix begins what is not the name of a program elsewhere.
const serverPrefix = "server:"

// serverOf returns the server of this program that a program is.
func serverOf(program string) (s ownServer, ok bool) {
	name, ok := strings.CutPrefix(program, serverPrefix)
	if ok {
		s, ok = servers[name]
	}
	return s, ok
}

// become makes this process a server, if it was started as one, and does not return then.
func become() {
	if len(os.Args) < 2 {
		return
	}
	name := os.Args[1]
	own, ok := servers[name]
	if !ok {
		return
	}
	err := errByHand(name)
	if _, kept := os.LookupEnv(family.Variable); kept {
		err = own.serve(os.Args[2:])
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
