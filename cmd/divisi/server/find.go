package server

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/divisi-go/divisi/cmd/divisi/console"
	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/keeper/door"
	"github.com/divisi-go/divisi/internal/name"
)

// errNone is the error when no server runs.
var errNone = &console.Error{Code: console.Failed, Err: errors.New("no server runs"),
	Way: "start one: divisi start NAME -- PROGRAM"}

// Find returns the servers of a name: all of NAME@/DOMAIN, or all of NAME, whatever the domain.
func Find(list []keeper.Proc, asked string) []keeper.Proc {
	var found []keeper.Proc
	for _, p := range list {
		if p.ID.String() == asked || p.Name == asked {
			found = append(found, p)
		}
	}
	return found
}

// only returns the newest server of a name, which must be one name in one domain.
func only(list []keeper.Proc, asked string) (keeper.Proc, error) {
	found := Find(list, asked)
	names := namesOf(found)
	switch {
	case len(names) > 1:
		return keeper.Proc{}, console.UsageError("several servers have the name %s: give one of %s", asked, strings.Join(names, ", "))
	case len(found) > 0:
		return found[len(found)-1], nil
	case len(list) == 0:
		return keeper.Proc{}, errNone
	}
	return keeper.Proc{}, console.Failure("", "no server %q runs: %s", asked, name.Suggest(asked, namesOf(list)))
}

// namesOf returns the full names, each once.
func namesOf(list []keeper.Proc) []string {
	var names []string
	for _, p := range list {
		names = append(names, p.ID.String())
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// KeeperRuns reports whether a keeper runs.
func KeeperRuns(ctx context.Context) bool {
	d, err := Open(ctx, "divisi", false)
	if err != nil {
		return false
	}
	d.close()
	return true
}

// All returns what the keeper holds; nothing if there is no keeper.
func All(ctx context.Context) ([]keeper.Proc, error) {
	d, err := Open(ctx, "divisi", false)
	if errors.Is(err, door.ErrNone) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer d.close()

	return d.List(ctx, "")
}

// Names returns the names by which servers are asked for: NAME if it is unique, else NAME@/DOMAIN.
func Names(list []keeper.Proc) []string {
	full := namesOf(list)
	count := map[string]int{}
	for _, n := range full {
		bare, _, _ := strings.Cut(n, "@")
		count[bare]++
	}

	for i, n := range full {
		if bare, _, _ := strings.Cut(n, "@"); count[bare] == 1 {
			full[i] = bare
		}
	}
	return full
}

// complete completes the names of servers.
func complete(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	list, err := All(cmd.Context())
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	names := slices.DeleteFunc(Names(list), func(n string) bool { return slices.Contains(args, n) })
	return names, cobra.ShellCompDirectiveNoFileComp
}
