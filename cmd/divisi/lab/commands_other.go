//go:build !linux

// Package lab has the commands about a lab: several hosts on one machine.
package lab

import (
	"github.com/spf13/cobra"

	"github.com/divisi-go/divisi/cmd/divisi/console"
)

// Command returns the command, which says that there are no labs on this system.
func Command(*console.Console) *cobra.Command {
	return &cobra.Command{
		Use:                "lab COMMAND",
		Short:              "Put several hosts on this machine, on Linux",
		DisableFlagParsing: true,
		RunE: func(*cobra.Command, []string) error {
			return console.Failure("run it on Linux, or in a virtual machine", "a lab needs the namespaces of Linux")
		},
	}
}
