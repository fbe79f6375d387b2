package system

import (
	"fmt"

	"github.com/divisi-go/divisi/internal/role"
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
	program, ok := role.Add(name, f)
	if !ok {
		panic(fmt.Sprintf("package system: the program has two servers %s (%s)", name, caller()))
	}
	return program
}
