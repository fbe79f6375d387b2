package server

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/divisi-go/divisi/cmd/divisi/console"
	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/keeper/door"
	"github.com/divisi-go/divisi/internal/name"
	"github.com/divisi-go/divisi/internal/selection"
)

// errNone is the error when no server runs.
var errNone = &console.Error{Code: console.Failed, Err: errors.New("no server runs"),
	Way: "start one: divisi start NAME -- PROGRAM"}

// Current returns the domain that names without one are in, as far as somebody has said one: DIVISI_DOMAIN, or else "/".
func Current() string { return cmp.Or(os.Getenv("DIVISI_DOMAIN"), "/") }

// Select reads a selector of servers.
func Select(asked string) (selection.Selector, error) {
	s, err := selection.Parse(asked, Current())
	if err != nil {
		return s, &console.Error{Code: console.Usage, Err: err}
	}
	return s, nil
}

// Picks reports whether a selector picks a server.
func Picks(s selection.Selector, p keeper.Proc) bool {
	return s.Picks(selection.Of(name.Server{Name: p.Name, Domain: p.Domain}, p.Labels))
}

// Find returns the servers that a selector picks; none if it is none.
func Find(list []keeper.Proc, asked string) []keeper.Proc {
	s, err := Select(asked)
	if err != nil {
		return nil
	}
	var found []keeper.Proc
	for _, p := range list {
		if Picks(s, p) {
			found = append(found, p)
		}
	}
	return found
}

// choose returns the newest process of each server that somebody selects, in the order of their first starts. Each
// selector picks at least one, and a bare name no more than that.
func choose(list []keeper.Proc, asked ...string) ([]keeper.Proc, error) {
	newest := map[string]keeper.Proc{}
	for _, text := range asked {
		s, err := Select(text)
		if err != nil {
			return nil, err
		}
		found := Find(list, text)
		names := namesOf(found)
		switch {
		case len(found) == 0 && len(list) == 0:
			return nil, errNone
		case len(found) == 0 && (s.Bare() || s.One()):
			return nil, console.Failure("", "no server %q runs: %s", text, name.Suggest(text, namesOf(list)))
		case len(found) == 0:
			return nil, console.Failure("what runs: divisi ps", "%s picks no server that runs", text)
		case len(names) > 1 && s.Bare():
			return nil, console.UsageError("several servers have the name %s: give one of %s", text, strings.Join(names, ", "))
		}
		for _, p := range found {
			newest[p.ID.String()] = p
		}
	}

	byBirth := func(a, b keeper.Proc) int { return cmp.Compare(a.Born, b.Born) }
	return slices.SortedFunc(maps.Values(newest), byBirth), nil
}

// Only returns the newest process of the one server that somebody selects.
func Only(list []keeper.Proc, asked string) (keeper.Proc, error) {
	found, err := choose(list, asked)
	if err != nil {
		return keeper.Proc{}, err
	}
	if len(found) > 1 {
		return keeper.Proc{}, console.UsageError("%s picks several servers: give one of %s", asked, strings.Join(namesOf(found), ", "))
	}
	return found[0], nil
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
