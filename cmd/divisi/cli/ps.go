package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/divisi-go/divisi/cmd/divisi/console"
	"github.com/divisi-go/divisi/cmd/divisi/estate"
	"github.com/divisi-go/divisi/cmd/divisi/server"
	"github.com/divisi-go/divisi/cmd/divisi/subject"
	"github.com/divisi-go/divisi/cmd/divisi/view"
	"github.com/divisi-go/divisi/internal/control"
	"github.com/divisi-go/divisi/internal/home"
	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/name"
)

func (c *command) ps() *cobra.Command {
	return subject.OneOfAny(&cobra.Command{
		Use:   "ps [APP|SELECTOR]",
		Short: "List servers: the replicas of applications, and other programs",
		Long: "List servers: the replicas of applications, and other programs that were started by divisi start.\n" +
			"With APP only those of applications that are called so, or whose names begin so; with SELECTOR those\n" +
			"that it picks. The exit code is 3 if there are applications that do not answer.",
		Example: "  divisi ps\n  divisi ps shop\n  divisi ps role:web\n  divisi ps @/shop/...\n  divisi ps -o json",
		RunE: func(cmd *cobra.Command, args []string) error {
			h, err := home.Find()
			if err != nil {
				return err
			}
			all, err := estate.Replicas(cmd.Context(), h)
			kept, silent := server.All(cmd.Context())
			all = withServers(all, kept)
			err = errors.Join(err, silent)
			if err != nil && len(all) > 0 {
				err = &console.Error{Code: console.Degraded, Err: err}
			}

			asked := strings.Join(args, "")
			unseen := unseenOf(cmd.Context(), h, asked)
			servers, unknown := ofApp(all, asked)
			if picked := ofServers(all, server.Find(kept, asked)); unknown != nil && len(picked) > 0 {
				servers, unknown = picked, nil
			}
			if unknown != nil && len(unseen) == 0 {
				return errors.Join(err, unknown)
			}
			if unknown != nil {
				servers = []control.ReplicaStatus{} // that anybody sees
			}

			if done, failed := c.JSON(servers); done {
				return errors.Join(failed, err)
			}
			if len(servers) == 0 && len(unseen) == 0 && err == nil {
				fmt.Fprintln(c.Err, subject.ErrNothing)
				return nil
			}
			if len(servers) > 0 {
				c.Columns(view.Rows(servers, time.Now()))
			}
			server.Warn(cmd.Context(), c.Console)
			if names := append(unattended(servers), unseen...); len(names) > 0 {
				c.tellAll(cmd.Context(), h, names)
			}

			return err
		},
	})
}

// tellAll says of applications what it means that nobody decides about them.
func (c *command) tellAll(ctx context.Context, h home.Home, names []string) {
	apps, _ := estate.Unattended(ctx, h) // somebody may decide by now
	for _, app := range apps {
		if slices.Contains(names, app.Status.App) {
			c.tell(app)
		}
	}
}

// unseenOf returns the programs that do not run, are or begin as somebody asks, and have servers on other hosts, which
// nobody sees.
func unseenOf(ctx context.Context, h home.Home, asked string) (names []string) {
	apps, _ := estate.Unattended(ctx, h) // what cannot be asked is said already
	for _, app := range apps {
		if len(app.Status.Unseen) > 0 && strings.HasPrefix(app.Status.App, asked) {
			names = append(names, app.Status.App)
		}
	}
	return names
}

// unattended returns the applications of servers about which nobody decides.
func unattended(servers []control.ReplicaStatus) (apps []string) {
	for _, s := range servers {
		if s.Unattended && !slices.Contains(apps, s.App) {
			apps = append(apps, s.App)
		}
	}
	return apps
}

// withServers adds the servers that are no replicas of applications to those that are.
func withServers(replicas []control.ReplicaStatus, servers []keeper.Proc) []control.ReplicaStatus {
	var known []string
	for _, r := range replicas {
		known = append(known, r.Name)
	}
	for _, p := range servers {
		if !slices.Contains(known, p.ID.String()) {
			replicas = append(replicas, server.Row(p))
		}
	}
	return replicas
}

// ofApp returns the servers of the application that was asked for, or else those that are called so, or else
// those of all applications and all servers whose names begin so.
func ofApp(all []control.ReplicaStatus, asked string) ([]control.ReplicaStatus, error) {
	var exact, called []control.ReplicaStatus
	begin := []control.ReplicaStatus{} // JSON shows none as []
	var names []string
	for _, s := range all {
		own := s.App
		if own == "" {
			own = s.Name
		}
		bare, _, _ := strings.Cut(s.Name, "@")
		switch {
		case own == asked:
			exact = append(exact, s)
		case bare == asked || s.Name == asked:
			called = append(called, s)
		case strings.HasPrefix(own, asked):
			begin = append(begin, s)
		}
		names = append(names, own, bare)
	}

	switch {
	case len(exact) > 0:
		return exact, nil
	case len(called) > 0:
		return called, nil
	case len(begin) > 0 || asked == "":
		return begin, nil
	}

	if e := subject.Ended(asked); e != nil {
		return nil, e
	}
	if len(names) == 0 {
		return nil, subject.ErrNothing
	}

	return nil, console.Failure("", "no application or server %q runs: %s", asked, name.Suggest(asked, slices.Compact(names)))
}

// ofServers returns what is shown of servers.
func ofServers(all []control.ReplicaStatus, servers []keeper.Proc) []control.ReplicaStatus {
	is := func(r control.ReplicaStatus) bool {
		return slices.ContainsFunc(servers, func(p keeper.Proc) bool { return p.ID.String() == r.Name })
	}
	return slices.DeleteFunc(slices.Clone(all), func(r control.ReplicaStatus) bool { return !is(r) })
}

// places is where everything is, as JSON shows it.
type places struct {
	Home    string `json:"home"`
	Runtime string `json:"runtime"`
	Apps    []door `json:"apps"`
	Keeper  string `json:"keeper,omitempty"` // its socket, if it runs
}

// door is where an application can be asked.
type door struct {
	App        string `json:"app"`
	Socket     string `json:"socket"`
	Unattended bool   `json:"unattended,omitempty"` // nobody decides about it, and there is no socket
}

func (c *command) where() *cobra.Command {
	return &cobra.Command{
		Use:   "where",
		Short: "Show where state and sockets are",
		Long: "Show the folder of what outlives processes, the folder of sockets, the socket of the control API of\n" +
			"every application that runs, and that of the keeper, which programs and curl can ask.",
		Example: "  divisi where\n  curl --unix-socket $(divisi where -o json | jq -r '.apps[0].socket') http://divisi/v1/servers",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			h, err := home.Find()
			if err != nil {
				return err
			}

			apps, err := subject.Running(cmd.Context())
			if err != nil {
				err = &console.Error{Code: console.Degraded, Err: err}
			}

			p := places{Home: h.Dir, Runtime: h.Runtime, Apps: []door{}}
			rows := [][]string{{"home", p.Home}, {"runtime", p.Runtime}}
			for _, app := range apps {
				d := door{app.Status.App, app.Status.Controller.Socket, app.Status.Unattended}
				p.Apps = append(p.Apps, d)
				where := d.Socket
				if d.Unattended {
					where = "none: nobody decides about it"
				}
				rows = append(rows, []string{"door of " + d.App, where})
			}

			if server.KeeperRuns(cmd.Context()) {
				p.Keeper = h.Keeper().Door
				rows = append(rows, []string{"door of the keeper", p.Keeper})
			}

			if done, failed := c.JSON(p); done {
				return errors.Join(failed, err)
			}

			c.Columns(rows)
			return err
		},
	}
}
