package cli

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/divisi-go/divisi/cmd/divisi/console"
	"github.com/divisi-go/divisi/cmd/divisi/estate"
	"github.com/divisi-go/divisi/cmd/divisi/server"
	"github.com/divisi-go/divisi/cmd/divisi/subject"
	"github.com/divisi-go/divisi/cmd/divisi/view"
	"github.com/divisi-go/divisi/internal/control"
)

func (c *command) status() *cobra.Command {
	return subject.OneOfAny(&cobra.Command{
		Use:   "status [APP|NAME[@/DOMAIN]]",
		Short: "Show everything that is known about an application or a server",
		Long: "Show everything that is known about an application: addresses, groups, replicas, and how\n" +
			"processes ended. The exit code is 3 if it is degraded. Or show the same of a server: what it runs,\n" +
			"where it listens, how it is supervised, and how its last process has ended.",
		Example: "  divisi status\n  divisi status shop -o json\n  divisi status web@/local",
		RunE: func(cmd *cobra.Command, args []string) error {
			asked := strings.Join(args, "")
			of, err := subject.IsServer(cmd.Context(), asked)
			if err != nil {
				return err
			}
			server.Warn(cmd.Context(), c.Console)
			if of {
				return server.ShowStatus(cmd.Context(), c.Console, asked)
			}

			app, err := subject.Pick(cmd.Context(), args)
			if err != nil {
				away, wrong := subject.FindElsewhere(cmd.Context(), asked)
				switch {
				case wrong != nil:
					return wrong
				case away != nil:
					return c.showElsewhere(*away)
				}
				return subject.Neither(cmd.Context(), asked, err)
			}
			if done, err := c.JSON(app.Status); done {
				return degraded(app.Status, err)
			}
			c.showStatus(app.Status, time.Now())
			return degraded(app.Status, nil)
		},
	})
}

func (c *command) showStatus(s control.Status, now time.Time) {
	switch {
	case s.State == control.NotRunning:
		fmt.Fprintf(c.Out, "%s is %s, and its servers run: %s\n", s.App, c.Paint(s.State), subject.WayOut(s))
		if unseen := subject.Unseen(s); unseen != "" {
			fmt.Fprintln(c.Out, unseen)
		}
		fmt.Fprintln(c.Out)
	case s.Unattended:
		fmt.Fprintf(c.Out, "%s is %s, and nobody decides about it: %s\n\n", s.App, c.Paint(s.State), subject.WayOut(s))
	default:
		fmt.Fprintf(c.Out, "%s is %s\n\n", s.App, c.Paint(s.State))
	}
	rows := [][]string{{"version", cmp.Or(s.Version, "-")}, {"binary", s.Binary},
		{"started", s.Started.Local().Format(time.DateTime)}}
	if !s.Unattended {
		rows = append(rows, []string{"process", fmt.Sprint(s.Controller.Pid)})
	}
	rows = append(rows, []string{"logs", s.Controller.LogDir})
	if !s.Unattended {
		rows = append(rows, []string{"control", s.Controller.Socket})
	}

	for _, l := range s.Listeners {
		rows = append(rows, []string{"listener " + l.Name, l.URL})
	}

	if s.Controller.Page != "" {
		rows = append(rows, []string{"live page", s.Controller.Page})
	}

	c.Columns(rows)
	fmt.Fprintln(c.Out)
	if len(s.Members) > 0 {
		c.Columns(view.Members(s.Members, now))
	} else {
		c.Columns(view.Groups(s.Groups))
	}
	fmt.Fprintln(c.Out)
	c.Columns(view.Rows(s.Replicas, now))
	first := "\n"
	for _, r := range s.Replicas {
		if r.LastExit != nil {
			fmt.Fprintf(c.Out, "%s%s %s at %s\n", first, r.Name, r.LastExit.Text,
				r.LastExit.Time.Local().Format(time.TimeOnly))
			first = ""
		}
	}
}

// showElsewhere shows what the program of a server on another host knows of it.
func (c *command) showElsewhere(e subject.Elsewhere) error {
	r := e.Server
	if done, err := c.JSON(r); done {
		return err
	}
	fmt.Fprintf(c.Out, "%s is %s on the host %s, of %s\n\n", r.Name, c.Paint(r.State), r.Host, e.Of.Status.App)
	rows := [][]string{
		{"process", fmt.Sprint(r.Pid)}, {"started", r.Started.Local().Format(time.DateTime)}, {"restarts", fmt.Sprint(r.Restarts)},
		{"program", strings.Join(r.Components, " ")}, {"version", r.Version},
	}
	if r.Failing != "" {
		rows = append(rows, []string{"failing", r.Failing})
	}
	c.Columns(rows)
	if r.LastExit != nil {
		fmt.Fprintf(c.Out, "\nthe process before this one %s at %s\n", r.LastExit.Text, r.LastExit.Time.Local().Format(time.DateTime))
	}
	return nil
}

// degraded makes the exit code of a command that shows an application say how it is.
func degraded(s control.Status, err error) error {
	if err == nil && s.State == "degraded" {
		return &console.Error{Code: console.Degraded, Err: fmt.Errorf("%s is degraded", s.App),
			Way: "see: divisi logs " + s.App + " --level warn"}
	}
	return err
}

// tell says what it means if nobody decides about an application.
func (c *command) tell(app estate.Application) {
	if app.Status.Unattended {
		fmt.Fprintln(c.Err, "nobody decides about "+app.Status.App+": "+subject.WayOut(app.Status))
		if unseen := subject.Unseen(app.Status); unseen != "" {
			fmt.Fprintln(c.Err, unseen)
		}
	}
}
