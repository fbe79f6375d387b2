package unit

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/divisi-go/divisi/cmd/divisi/console"
	"github.com/divisi-go/divisi/internal/home"
	"github.com/divisi-go/divisi/internal/keeper/door"
)

// Commands returns the commands that make the service and remove it, for those about the keeper.
func Commands(c *console.Console) []*cobra.Command {
	own := command{c}
	return []*cobra.Command{own.install(), own.uninstall()}
}

type command struct{ *console.Console }

// report is what was done to a unit of systemd, or would be.
type report struct {
	Unit   string   `json:"unit"`
	File   string   `json:"file,omitempty"`
	Home   string   `json:"home"`
	DryRun bool     `json:"dry_run,omitempty"`
	Text   string   `json:"text,omitempty"` // of the file
	Done   []string `json:"done"`
	Keeper int      `json:"keeper,omitempty"` // process that has everything now
}

func (c command) install() *cobra.Command {
	var own, replace, dry bool
	cmd := &cobra.Command{
		Use:   "install [--user] [--replace] [--dry-run]",
		Short: "Have systemd run the keeper",
		Long: "Make a unit of systemd that runs the keeper of this state folder, " + Name + ", and start\n" +
			"it, now and with the machine. A keeper that runs leaves everything to it. systemd starts it again\n" +
			"when it is killed or hangs, and keeps its sockets meanwhile; systemctl stop and restart leave its\n" +
			"servers alone. The unit runs this program where it lies.\n\n" +
			"It is one of the machine, for root, or with --user one of your own manager. If there is a unit of\n" +
			"this name that differs, it is shown, and stays unless you say --replace. Every step is printed.",
		Example: "  sudo divisi keeper install\n  divisi keeper install --user --dry-run",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			h, err := home.Find()
			if err != nil {
				return err
			}
			if err := canAskSystemd(own, dry); err != nil {
				return err
			}
			u, err := New(h, own)
			if err != nil {
				return err
			}
			plan, err := u.Install(replace)
			var differs *Differs
			if errors.As(err, &differs) {
				return console.Failure("to replace it: divisi keeper install --replace", "%w", err)
			}
			if err != nil {
				return err
			}

			r := report{Unit: Name, File: u.File, Home: h.Dir, DryRun: dry, Text: u.Text()}
			if err := c.carryOut(cmd.Context(), plan, &r); err != nil {
				return console.Failure("journalctl "+u.Manager()+" -u "+Name+" says why a unit does not start; "+
					"divisi keeper uninstall takes everything back", "%w", err)
			}
			return c.show(r, lingers(own))
		},
	}

	cmd.Flags().BoolVar(&own, "user", false, "a unit of your own manager, in place of the machine's")
	cmd.Flags().BoolVar(&replace, "replace", false, "replace a unit that differs")
	cmd.Flags().BoolVar(&dry, "dry-run", false, "only print the unit, and what would be done")
	return cmd
}

func (c command) uninstall() *cobra.Command {
	var dry bool
	cmd := &cobra.Command{
		Use:   "uninstall [--dry-run]",
		Short: "Have systemd not run the keeper any more",
		Long: "Stop the unit that runs the keeper of this state folder, and remove it. Servers go on: a keeper\n" +
			"that this command starts has them, as before divisi keeper install.",
		Example: "  sudo divisi keeper uninstall",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			h, err := home.Find()
			if err != nil {
				return err
			}
			plan, err := Uninstall(h)
			if errors.Is(err, ErrNone) {
				return console.Failure("a unit of another state folder: set DIVISI_HOME to that one", "%w of %s", err, h.Dir)
			}
			if err != nil {
				return err
			}
			r := report{Unit: Name, Home: h.Dir, DryRun: dry}
			if err := c.carryOut(cmd.Context(), plan, &r); err != nil {
				return err
			}
			return c.show(r, true)
		},
	}

	cmd.Flags().BoolVar(&dry, "dry-run", false, "only print what would be done")
	return cmd
}

// canAskSystemd says why a unit cannot be installed here.
func canAskSystemd(own, dry bool) error {
	_, err := os.Stat("/run/systemd/system")
	switch {
	case dry:
		return nil
	case runtime.GOOS != "linux" || err != nil:
		return console.Failure("the keeper needs none: it starts with the first server", "systemd does not run this machine")
	case !own && os.Geteuid() != 0:
		return console.Failure("sudo divisi keeper install, or divisi keeper install --user", "a unit of the machine is for root to install")
	}
	return nil
}

// carryOut does what is planned, unless it is only to be shown, and says who keeps everything then.
func (c command) carryOut(ctx context.Context, plan *Plan, r *report) error {
	if r.DryRun {
		r.Done = plan.Steps()
		return nil
	}

	var err error
	r.Done, err = plan.Do(ctx)
	if err != nil {
		for _, step := range r.Done {
			fmt.Fprintln(c.Err, step)
		}
		return err
	}

	h, err := home.At(r.Home)
	if err != nil {
		return err
	}
	client, err := door.Find(ctx, h)
	if errors.Is(err, door.ErrNone) {
		return nil
	}
	if err != nil {
		return err
	}
	info, err := client.Info(ctx)
	r.Keeper = info.Pid
	return errors.Join(err, client.Release())
}

// show shows what was done to a unit, and what a user has to know of one of his own.
func (c command) show(r report, lingers bool) error {
	if done, err := c.JSON(r); done {
		return err
	}

	if r.DryRun && r.Text != "" {
		fmt.Fprintf(c.Out, "%s:\n\n%s\n", r.File, r.Text)
	}
	if r.DryRun {
		fmt.Fprintln(c.Out, "nothing was done; without --dry-run it is:")
	}
	for _, step := range r.Done {
		fmt.Fprintln(c.Out, step)
	}
	if r.Keeper != 0 {
		fmt.Fprintf(c.Out, "process %d is the keeper of %s\n", r.Keeper, r.Home)
	}
	if !lingers {
		fmt.Fprintln(c.Out, "your manager ends, and all servers with it, when you log out, unless you say: loginctl enable-linger")
	}
	return nil
}

// lingers reports whether a user's own manager stays when the user logs out.
func lingers(own bool) bool {
	u, err := user.Current()
	if !own || err != nil {
		return true
	}
	_, err = os.Stat(filepath.Join("/var/lib/systemd/linger", u.Username))
	return err == nil
}
