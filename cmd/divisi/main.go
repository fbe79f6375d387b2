// Divisi runs programs as distributed systems: see "divisi help".
package main

import (
	"os"

	"github.com/divisi-go/divisi/cmd/divisi/cli"
	"github.com/divisi-go/divisi/cmd/divisi/pid1"
	"github.com/divisi-go/divisi/internal/agent"
	"github.com/divisi-go/divisi/internal/keeper/door"
	"github.com/divisi-go/divisi/lab"
)

func main() {
	lab.Enter()
	door.Enter()
	agent.Enter("/")

	code, first := pid1.Supervise(os.Stderr)
	if first {
		os.Exit(code)
	}

	os.Exit(cli.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
