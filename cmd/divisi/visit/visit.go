// Package visit is what is done at servers that run: they are asked whether they are well, and commands run beside them.
package visit

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/divisi-go/divisi/cmd/divisi/console"
	"github.com/divisi-go/divisi/cmd/divisi/server"
	"github.com/divisi-go/divisi/internal/home"
	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/keeper/door"
)

// command is what the commands of this package share.
type command struct{ *console.Console }

// Commands returns the commands.
func Commands(shared *console.Console) []*cobra.Command {
	c := command{shared}
	return []*cobra.Command{c.ping(), c.exec()}
}

// open returns the keeper and what it has; there is none if that is nothing.
func open(ctx context.Context) (*door.Client, []keeper.Proc, error) {
	h, err := home.Find()
	if err != nil {
		return nil, nil, err
	}
	k, err := door.Find(ctx, h)
	if errors.Is(err, door.ErrNone) {
		return nil, nil, console.Failure("start one: divisi start NAME -- PROGRAM, or divisi up ENSEMBLE.toml", "no server runs")
	}
	if err != nil {
		return nil, nil, err
	}
	list, err := k.List(ctx, "/")
	if err != nil {
		return nil, nil, errors.Join(err, k.Release())
	}
	return k, list, nil
}

// complete completes the names of servers that run.
func complete(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	list, err := server.All(cmd.Context())
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	if cmd.ArgsLenAtDash() >= 0 {
		return nil, cobra.ShellCompDirectiveDefault // files
	}
	return server.Names(list), cobra.ShellCompDirectiveNoFileComp
}
