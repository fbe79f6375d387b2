// Package role has the functions of this program that a process of it may be in place of the program: its own servers.
package role

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/divisi-go/divisi/internal/family"
)

// Role is one of the functions of this program.
type Role struct {
	Name string
	f    any // a function of none to three strings, or of a slice of them, that returns an error
}

// roles are those of this program, by their names. They are complete before main.
var roles = map[string]Role{}

// prefix begins what is not the name of a program elsewhere.
const prefix = "server:"

// Add makes a function a role, and returns what a program is called that is it. It gets its arguments, of which there have to
// be as many as it takes; a function of a slice takes any number. Add reports whether the name was free.
func Add(name string, f any) (program string, ok bool) {
	if _, taken := roles[name]; taken {
		return "", false
	}
	roles[name] = Role{name, f}
	return prefix + name, true
}

// Of returns the role that a program is.
func Of(program string) (r Role, ok bool) {
	name, ok := strings.CutPrefix(program, prefix)
	if ok {
		r, ok = roles[name]
	}
	return r, ok
}

// Check says whether there is another number of arguments than the function takes.
func (r Role) Check(args int) error {
	takes := args
	switch r.f.(type) {
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
		return fmt.Errorf("the server %s is given %d arguments, and takes %d", r.Name, args, takes)
	}
	return nil
}

// serve is the process of the role.
func (r Role) serve(args []string) error {
	if err := r.Check(len(args)); err != nil {
		return err
	}
	switch f := r.f.(type) {
	case func() error:
		return f()
	case func(string) error:
		return f(args[0])
	case func(_, _ string) error:
		return f(args[0], args[1])
	case func(_, _, _ string) error:
		return f(args[0], args[1], args[2])
	}
	return r.f.(func([]string) error)(args)
}

// Become makes this process a role, if it was started as one, and does not return then. The process of a role has
// exit code 1 after an error.
func Become() {
	if len(os.Args) < 2 {
		return
	}
	r, ok := roles[os.Args[1]]
	if !ok {
		return
	}
	err := errByHand(r.Name)
	if _, kept := os.LookupEnv(family.Variable); kept {
		err = r.serve(os.Args[2:])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, r.Name+":", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// errByHand is the error of a server that no keeper has started: it would lack its arguments and its sockets.
func errByHand(name string) error {
	return errors.New("it is a server of the program " + filepath.Base(os.Args[0]) + ", which starts it with the arguments and the sockets that it needs: run " +
		os.Args[0] + " without " + fmt.Sprintf("%q", name))
}
