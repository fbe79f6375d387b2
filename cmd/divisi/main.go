// Divisi runs programs as distributed systems: see "divisi help".
package main

import (
	"os"

	"github.com/divisi-go/divisi/cmd/divisi/cli"
)

func main() { os.Exit(cli.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }
