// Package operate has the commands by which programs of package system are operated: what they ask, what
// they are told, and their next version.
package operate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/divisi-go/divisi/cmd/divisi/console"
	"github.com/divisi-go/divisi/cmd/divisi/estate"
	"github.com/divisi-go/divisi/cmd/divisi/subject"
	"github.com/divisi-go/divisi/internal/control"
	"github.com/divisi-go/divisi/internal/home"
	"github.com/divisi-go/divisi/internal/name"
	"github.com/divisi-go/divisi/internal/operator"
)

// Commands returns the commands.
func Commands(shared *console.Console) []*cobra.Command {
	c := &command{shared}
	return []*cobra.Command{c.questions(), c.answer(), c.verbs(), c.do(), c.upgrade()}
}

// command is what all of them share.
type command struct{ *console.Console }

// desk is where a program asks its operator: its door, or its folder while it does not run.
type desk struct {
	app       string
	client    *control.Client // nil while it does not run
	shelf     *operator.Shelf
	questions []control.Question
}

// desks returns the desks of all programs that ask something, or of one that was named. The error is about
// those that do not answer.
func desks(ctx context.Context, only string) ([]desk, error) {
	only = strings.TrimPrefix(only, "/")
	h, err := home.Find()
	if err != nil {
		return nil, err
	}
	apps, silent := estate.Find(ctx, h)
	var list []desk
	attended := map[string]bool{}
	for _, app := range apps {
		if app.Client == nil {
			continue
		}
		attended[app.Status.Domain] = true
		questions, err := app.Client.Questions(ctx)
		var refused *control.Error
		if err != nil && !(errors.As(err, &refused) && refused.Code == control.NotFound) {
			silent = errors.Join(silent, fmt.Errorf("%s does not say what it asks: %w", app.Status.App, err))
		}
		list = append(list, desk{app: app.Status.App, client: app.Client, questions: questions})
	}

	domains, err := h.Desks()
	if err != nil {
		return nil, errors.Join(silent, err)
	}
	for _, domain := range domains {
		if attended[domain] {
			continue
		}
		shelf := operator.NewShelf(h.Domain(domain).Desk)
		questions, err := shelf.Open()
		silent = errors.Join(silent, err)
		list = append(list, desk{app: strings.TrimPrefix(domain, "/"), shelf: shelf, questions: questions})
	}

	if only != "" && silent == nil && !slices.ContainsFunc(list, func(d desk) bool { return d.app == only }) {
		var known []string
		for _, d := range list {
			known = append(known, d.app)
		}
		return nil, console.Failure("", "no program %q is known: %s", only, name.Suggest(only, known))
	}
	list = slices.DeleteFunc(list, func(d desk) bool { return only != "" && d.app != only || len(d.questions) == 0 })
	return list, silent
}

// pick returns the client of a program that runs: the one with a name, or the only one.
func pick(ctx context.Context, args []string) (*control.Client, error) {
	h, err := home.Find()
	if err != nil {
		return nil, err
	}
	apps, silent := estate.Find(ctx, h)
	asked := strings.TrimPrefix(strings.Join(args, ""), "/")
	var names []string
	for _, app := range apps {
		switch {
		case app.Client == nil && app.Status.App == asked:
			return nil, console.Failure(subject.WayOut(app.Status), "%s does not run, and only its servers do", asked)
		case app.Client == nil:
			continue
		case app.Status.App == asked:
			return app.Client, nil
		}
		names = append(names, app.Status.App)
	}

	switch {
	case silent != nil:
		return nil, silent
	case asked != "":
		return nil, console.Failure("", "no program %q runs: %s", asked, name.Suggest(asked, names))
	case len(names) == 0:
		return nil, console.Failure("", "no program runs")
	case len(names) > 1:
		return nil, console.UsageError("several programs run: give one of %s", strings.Join(names, ", "))
	}
	for _, app := range apps {
		if app.Status.App == names[0] {
			return app.Client, nil
		}
	}
	return nil, console.Failure("", "%s does not run", names[0])
}

// completePrograms completes the name of a program that runs, as the first argument.
func completePrograms(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	h, err := home.Find()
	if err != nil || len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	apps, _ := estate.Find(cmd.Context(), h)
	var names []string
	for _, app := range apps {
		if app.Client != nil {
			names = append(names, app.Status.App)
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// one has a command take at most one argument, the name of a program.
func one(cmd *cobra.Command) *cobra.Command {
	cmd.Args = cobra.MaximumNArgs(1)
	cmd.ValidArgsFunction = completePrograms
	return cmd
}
