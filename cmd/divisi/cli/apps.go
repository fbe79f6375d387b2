package cli

import (
	"context"
	"errors"
	"strings"

	"github.com/spf13/cobra"

	"github.com/divisi-go/divisi/internal/control"
	"github.com/divisi-go/divisi/internal/home"
	"github.com/divisi-go/divisi/internal/name"
)

// find returns the applications that run. The error is about those that do not answer.
func find(ctx context.Context) ([]control.Running, error) {
	h, err := home.Find()
	if err != nil {
		return nil, err
	}
	doors, err := h.Doors()
	if err != nil {
		return nil, err
	}
	return control.Find(ctx, doors)
}

// errNone is the error when there is no application to speak of.
var errNone = errors.New("no application runs")

// pick returns the application with a name, or a unique beginning of it; without one, the only
// application that runs.
func pick(ctx context.Context, args []string) (control.Running, error) {
	apps, silent := find(ctx)
	names := make([]string, len(apps))
	for i, app := range apps {
		names[i] = app.Status.App
	}
	chosen, err := choose(args, names)
	if err == nil {
		return apps[chosen], nil
	}
	if silent != nil {
		return control.Running{}, silent
	}
	return control.Running{}, err
}

// choose returns the index of the name that was asked for.
func choose(args, names []string) (int, error) {
	asked := strings.Join(args, "")
	var found []int
	for i, n := range names {
		if n == asked {
			return i, nil
		}
		if strings.HasPrefix(n, asked) {
			found = append(found, i)
		}
	}
	switch {
	case len(names) == 0:
		return 0, &exitError{code: exitFailed, err: errNone, hint: "start one: divisi run TARGET"}
	case len(found) == 0:
		return 0, failure("", "no application %q runs: %s", asked, name.Suggest(asked, names))
	case len(found) > 1:
		var several []string
		for _, i := range found {
			several = append(several, names[i])
		}
		return 0, usageError("several applications run: give one of %s", strings.Join(several, ", "))
	}
	return found[0], nil
}

// appArg has a command take at most one argument, the name of an application, and complete it.
func appArg(cmd *cobra.Command) *cobra.Command {
	cmd.Args = cobra.MaximumNArgs(1)
	cmd.ValidArgsFunction = func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		apps, err := find(cmd.Context())
		if err != nil && len(apps) == 0 {
			return nil, cobra.ShellCompDirectiveError
		}
		var names []string
		for _, app := range apps {
			names = append(names, app.Status.App)
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}
	return cmd
}

// degraded makes the exit code of a command that shows an application say how it is.
func degraded(s control.Status, err error) error {
	if err == nil && s.State == "degraded" {
		return &exitError{code: exitDegraded, err: errors.New(s.App + " is degraded"),
			hint: "see: divisi logs " + s.App + " --level warn"}
	}
	return err
}
