// Package host has the commands about machines that programs have made hosts of.
package host

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/divisi-go/divisi/cmd/divisi/console"
	"github.com/divisi-go/divisi/internal/agent"
	"github.com/divisi-go/divisi/ssh"
)

// command is what the commands share.
type command struct{ *console.Console }

// Command returns the command with its subcommands.
func Command(shared *console.Console) *cobra.Command {
	c := command{shared}
	cmd := &cobra.Command{
		Use:     "host COMMAND",
		Short:   "Clear machines that programs have made hosts of",
		Example: "  divisi host remove --yes anne@eu.example.com",
	}
	cmd.AddCommand(c.remove())
	return cmd
}

func (c command) remove() *cobra.Command {
	var o ssh.Options
	var yes bool
	cmd := &cobra.Command{
		Use:   "remove [flags] USER@HOST[:PORT]",
		Short: "Stop what runs on a machine, and leave nothing there",
		Long: "Stop what programs run on a machine that is reached by SSH, and remove the state folder of its user there, with all\n" +
			"programs, logs and data. Without --yes it is said what that would be.",
		Example: "  divisi host remove anne@eu.example.com\n" +
			"  divisi host remove --yes anne@eu.example.com:2222",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			m, err := ssh.Open(cmd.Context(), args[0], o)
			if err != nil {
				return err
			}
			defer m.Close()
			return c.clear(cmd.Context(), m, yes)
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&yes, "yes", false, "do it")
	flags.StringArrayVar(&o.Keys, "key", nil, "file with a private key (default those of the agent and of ~/.ssh)")
	flags.StringArrayVar(&o.KnownHosts, "known-hosts", nil, "file with the keys of machines (default ~/.ssh/known_hosts)")
	flags.StringVar(&o.State, "state", "", "state folder there (default that of its user)")
	return cmd
}

// clear removes what there is on a machine, or says what that would be.
func (c command) clear(ctx context.Context, m *ssh.Machine, yes bool) error {
	if !yes {
		left, err := agent.Look(ctx, m)
		if err != nil {
			return err
		}
		what := "no server runs"
		if len(left.Servers) > 0 {
			what = strings.Join(left.Servers, ", ") + " would be stopped"
		}
		return console.Failure("give --yes to do it", "on %s %s, and %s with all data would be removed", m.Name(), what, left.State)
	}

	left, err := agent.Remove(ctx, m)
	if err != nil {
		return err
	}
	done, err := c.JSON(struct {
		Host    string   `json:"host"`
		Removed string   `json:"removed"`
		Stopped []string `json:"stopped"`
	}{m.Name(), left.State, append([]string{}, left.Servers...)})
	if done {
		return err
	}
	rows := [][]string{{"removed", left.State}}
	for _, server := range left.Servers {
		rows = append(rows, []string{"stopped", server})
	}
	c.Columns(rows)
	return nil
}
