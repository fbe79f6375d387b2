// Package subject is what a command is about: an application, a program of package system or a server, by the
// name that the command line gives.
package subject

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/divisi-go/divisi/cmd/divisi/console"
	"github.com/divisi-go/divisi/cmd/divisi/estate"
	"github.com/divisi-go/divisi/cmd/divisi/server"
	"github.com/divisi-go/divisi/internal/control"
	"github.com/divisi-go/divisi/internal/home"
	"github.com/divisi-go/divisi/internal/name"
)

// Running returns the applications that run, by name. The error names each application that does not answer.
func Running(ctx context.Context) ([]estate.Application, error) {
	h, err := home.Find()
	if err != nil {
		return nil, err
	}
	return estate.Find(ctx, h)
}

// WayOut says how somebody decides again about what is unattended.
func WayOut(s control.Status) string {
	switch {
	case s.Again != "" && !s.IsProgram():
		return "run the program that it is a part of again: " + s.Again
	case s.Again != "":
		return "run it again: " + s.Again
	}
	return "divisi attach " + s.App + ", or divisi run TARGET, goes on with it"
}

// ErrNothing is the error when neither an application nor a server runs.
var ErrNothing = &console.Error{Code: console.Failed, Err: errors.New("nothing runs"),
	Way: "start something: divisi run TARGET, or divisi start NAME -- PROGRAM"}

// ErrNone is the error when no application runs.
var ErrNone = &console.Error{Code: console.Failed, Err: errors.New("no application runs"), Way: "start one: divisi run TARGET"}

// EndedError is about an application that does not run any more.
type EndedError struct {
	app  string
	Logs string // folder
}

func (e *EndedError) Error() string { return e.app + " does not run" }
func (e *EndedError) Hint() string  { return "its log is still there: divisi logs " + e.app }

// Pick returns the application to look at: the one with a name, or a unique beginning of it; without
// one, the only application that runs. If one of that name has run, the error is an [*EndedError].
func Pick(ctx context.Context, args []string) (estate.Application, error) {
	apps, silent := Running(ctx)
	asked := strings.TrimPrefix(strings.Join(args, ""), "/")
	names := namesOf(apps)
	if !slices.Contains(names, asked) {
		if e := Ended(asked); e != nil {
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

// Ended returns an error about an application that has run, or nil.
func Ended(app string) *EndedError {
	h, err := home.Find()
	if err != nil || app == "" || name.CheckDomain("/"+app) != nil {
		return nil
	}
	d := h.Domain(name.Domain(app))
	if _, err := os.Stat(d.Logs); err != nil {
		return nil
	}
	return &EndedError{app: app, Logs: d.Logs}
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
		return 0, ErrNone
	case len(found) == 0:
		return 0, console.Failure("", "no application %q runs: %s", asked, name.Suggest(asked, names))
	case len(found) > 1:
		return 0, console.UsageError("several applications run: give one of %s", strings.Join(several, ", "))
	}

	return found[0], nil
}

// IsServer reports whether a name to look at is that of a server of this machine, and of no application.
func IsServer(ctx context.Context, asked string) (bool, error) {
	if asked == "" {
		return false, nil
	}
	apps, _ := Running(ctx) // those that do not answer are none to look at
	servers, err := server.All(ctx)
	if err != nil {
		return false, err
	}

	if slices.ContainsFunc(apps, func(a estate.Application) bool { return a.Status.Domain == asked }) {
		return false, nil
	}
	found := server.Find(servers, asked)
	of := slices.IndexFunc(apps, func(a estate.Application) bool { return a.Status.App == asked })
	if of < 0 {
		return len(found) > 0 || strings.Contains(asked, "@") && len(elsewhere(apps, asked)) == 0, nil
	}
	// A program is often called as one of its servers. That one has its whole name.
	found = slices.DeleteFunc(found, apps[of].Owns)
	if len(found) > 0 {
		return false, console.UsageError("%s is an application, and the server %v: give /%s or %v", asked, found[0].ID, asked, found[0].ID)
	}
	return false, nil
}

// NoServer returns the error about a name that no application has because of err, for a command that is not for servers.
func NoServer(ctx context.Context, args []string, err error) error {
	asked := strings.Join(args, "")
	of, _ := IsServer(ctx, asked) // what cannot be asked is in err already
	away, _ := FindElsewhere(ctx, asked)
	if !of && away == nil || asked == "" {
		return err
	}
	return console.Failure("divisi logs --follow "+asked+" shows what it says", "%s is a server, and no application", asked)
}

// Neither returns the error about a name that no server has, nor an application because of err.
func Neither(ctx context.Context, asked string, err error) error {
	if !errors.Is(err, ErrNone) {
		return err
	}

	servers, silent := server.All(ctx)
	names := server.Names(servers)
	switch {
	case silent != nil:
		return silent
	case len(names) == 0:
		return ErrNothing
	case asked == "":
		return console.UsageError("no application runs: give the name of a server, such as %s", names[0])
	}
	return console.Failure("", "no application or server %q runs: %s", asked, name.Suggest(asked, names))
}

// TellMoment says that this command decides about an application that is unattended.
func TellMoment(c *console.Console, app estate.Application) {
	if app.Status.Unattended {
		fmt.Fprintf(c.Err, "nobody decides about %s: this command does for a moment\n", app.Status.App)
	}
}
