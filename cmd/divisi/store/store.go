// Package store has the command that hands over to the store of keys, which is a program of its own: it is as large
// as this one, and a disk that fails ends it and nothing else.
package store

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/divisi-go/divisi/cmd/divisi/console"
)

// program is the store.
const program = "divisi-store"

// Command returns the command.
func Command() *cobra.Command {
	return &cobra.Command{
		Use:   "store COMMAND",
		Short: "Serve a store of keys with etcd's API, and use one",
		Long: "Serve a store of keys with etcd's v3 API, or use one. This is the program divisi-store, which lies beside\n" +
			"divisi or in a folder of PATH; \"divisi store help\" lists what it does.",
		Example: "  divisi store serve --data data  # clients of etcd find it at localhost:2379\n" +
			"  divisi store help",
		DisableFlagParsing: true,
		ValidArgsFunction:  complete,
		RunE: func(_ *cobra.Command, args []string) error {
			return hand(args)
		},
	}
}

// hand makes the store of this process.
func hand(args []string) error {
	path, err := find()
	if err != nil {
		return console.Failure("make store, in a clone of Divisi, or: go install github.com/divisi-go/divisi/store/cmd/"+program+"@latest",
			"cannot find the program %s, neither beside this one nor in PATH", program)
	}
	return syscall.Exec(path, append([]string{program}, args...), os.Environ())
}

// complete asks the store what a word may become.
func complete(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
	path, err := find()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	out, err := exec.CommandContext(cmd.Context(), path, append([]string{"complete"}, append(args, word)...)...).Output()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var words []string
	for line := range strings.Lines(string(out)) {
		if strings.HasPrefix(line, word) {
			words = append(words, strings.TrimSuffix(line, "\n"))
		}
	}
	if len(args) == 0 {
		return words, cobra.ShellCompDirectiveNoFileComp
	}
	return words, cobra.ShellCompDirectiveDefault
}

// find returns the path of the store.
func find() (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	beside := filepath.Join(filepath.Dir(self), program)
	info, err := os.Stat(beside)
	if err == nil && info.Mode().IsRegular() {
		return beside, nil
	}
	return exec.LookPath(program)
}
