package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/divisi-go/divisi/cmd/divisi/console"
	"github.com/divisi-go/divisi/cmd/divisi/estate"
	"github.com/divisi-go/divisi/internal/control"
	"github.com/divisi-go/divisi/internal/home"
	"github.com/divisi-go/divisi/internal/name"
)

// find returns the applications that run, by name. The error names each application that does not answer.
func find(ctx context.Context) ([]estate.Application, error) {
	h, err := home.Find()
	if err != nil {
		return nil, err
	}
	return estate.Find(ctx, h)
}

// tell says what it means if nobody decides about an application.
func (c *command) tell(app estate.Application) {
	if app.Status.Unattended {
		fmt.Fprintln(c.Err, "nobody decides about "+app.Status.App+": "+wayOut(app.Status.App))
	}
}

// tellMoment says that this command decides about an application that is unattended.
func (c *command) tellMoment(app estate.Application) {
	if app.Status.Unattended {
		fmt.Fprintf(c.Err, "nobody decides about %s: this command does for a moment\n", app.Status.App)
	}
}

// wayOut says how somebody decides about an application again.
func wayOut(app string) string {
	return "divisi attach " + app + ", or divisi run TARGET, goes on with it"
}

// errNothing is the error when neither an application nor a server runs.
var errNothing = &console.Error{Code: console.Failed, Err: errors.New("nothing runs"),
	Way: "start something: divisi run TARGET, or divisi start NAME -- PROGRAM"}

// errNone is the error when no application runs.
var errNone = &console.Error{Code: console.Failed, Err: errors.New("no application runs"), Way: "start one: divisi run TARGET"}

// endedError is about an application that does not run any more.
type endedError struct {
	app  string
	logs string // folder
}

func (e *endedError) Error() string { return e.app + " does not run" }
func (e *endedError) Hint() string  { return "its log is still there: divisi logs " + e.app }

// pick returns the application to look at: the one with a name, or a unique beginning of it; without
// one, the only application that runs. If one of that name has run, the error is an *endedError.
func pick(ctx context.Context, args []string) (estate.Application, error) {
	apps, silent := find(ctx)
	asked := strings.TrimPrefix(strings.Join(args, ""), "/")
	names := namesOf(apps)
	if !slices.Contains(names, asked) {
		if e := ended(asked); e != nil {
			return estate.Application{}, errors.Join(silent, e)
		}
	}

	chosen, err := choose(asked, names)
	switch {
	case err == nil:
		return apps[chosen], nil
	case silent != nil:
		return estate.Application{}, silent
	default:
		return estate.Application{}, err
	}
}

// ended returns an error about an application that has run, or nil.
func ended(app string) *endedError {
	h, err := home.Find()
	if err != nil || name.CheckLabel(app) != nil {
		return nil
	}
	d := h.Domain(name.Domain(app))
	if _, err := os.Stat(d.Logs); err != nil {
		return nil
	}
	return &endedError{app: app, logs: d.Logs}
}

func namesOf(apps []estate.Application) []string {
	names := make([]string, len(apps))
	for i, app := range apps {
		names[i] = app.Status.App
	}
	return names
}

// choose returns the index of the name that was asked for, or that begins so.
func choose(asked string, names []string) (int, error) {
	if i := slices.Index(names, asked); i >= 0 {
		return i, nil
	}

	var found []int
	var several []string
	for i, n := range names {
		if strings.HasPrefix(n, asked) {
			found = append(found, i)
			several = append(several, n)
		}
	}

	switch {
	case len(names) == 0:
		return 0, errNone
	case len(found) == 0:
		return 0, console.Failure("", "no application %q runs: %s", asked, name.Suggest(asked, names))
	case len(found) > 1:
		return 0, console.UsageError("several applications run: give one of %s", strings.Join(several, ", "))
	}

	return found[0], nil
}

// appArg has a command take at most one argument, the name of an application, and complete it.
func appArg(cmd *cobra.Command) *cobra.Command {
	cmd.Args = cobra.MaximumNArgs(1)
	cmd.ValidArgsFunction = completeApps(1)
	return cmd
}

// completeApps completes the names of applications that run, for a command that takes at most so many.
func completeApps(most int) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) >= most {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		apps, err := find(cmd.Context())
		if err != nil && len(apps) == 0 {
			return nil, cobra.ShellCompDirectiveError
		}
		names := slices.DeleteFunc(namesOf(apps), func(n string) bool { return slices.Contains(args, n) })
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}

// one has a command take one argument.
func one(what string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) != 1 {
			return fmt.Errorf("give one argument, %s", what)
		}
		return nil
	}
}

// completeFrom completes the values of a flag with what the application of a command line has.
func completeFrom(cmd *cobra.Command, flag string, values func(estate.Application) []string) {
	_ = cmd.RegisterFlagCompletionFunc(flag,
		func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			app, err := pick(cmd.Context(), args)
			if err != nil {
				return nil, cobra.ShellCompDirectiveError
			}
			return values(app), cobra.ShellCompDirectiveNoFileComp
		})
}

// degraded makes the exit code of a command that shows an application say how it is.
func degraded(s control.Status, err error) error {
	if err == nil && s.State == "degraded" {
		return &console.Error{Code: console.Degraded, Err: fmt.Errorf("%s is degraded", s.App),
			Way: "see: divisi logs " + s.App + " --level warn"}
	}
	return err
}
