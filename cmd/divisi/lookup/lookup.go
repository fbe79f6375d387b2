// Package lookup has the command that finds servers that can be used.
package lookup

import (
	"cmp"
	"context"
	"errors"
	"strings"

	"github.com/spf13/cobra"

	"github.com/divisi-go/divisi/cmd/divisi/console"
	"github.com/divisi-go/divisi/cmd/divisi/server"
	"github.com/divisi-go/divisi/internal/home"
	"github.com/divisi-go/divisi/internal/keeper/door"
	"github.com/divisi-go/divisi/internal/keeper/lookup"
	"github.com/divisi-go/divisi/internal/selection"
)

// command is what the command shares with others.
type command struct{ *console.Console }

// Command returns the command.
func Command(shared *console.Console) *cobra.Command {
	c := command{shared}
	var role string
	cmd := &cobra.Command{
		Use:   "lookup SELECTOR | lookup --role ROLE",
		Short: "Find servers that can be used, and where they listen",
		Long: "List the servers that a selector picks, and the addresses of the sockets that they inherit. A server is there\n" +
			"from when it is ready until it is not: one that starts, drains or fails is not listed. The exit code is 1\n" +
			"if there is none.",
		Example: "  divisi lookup httpd-0@/test/www\n  divisi lookup --role web -o json",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 && role == "" || len(args) > 1 || len(args) == 1 && role != "" {
				return errors.New("give one selector, or --role")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			asked := strings.Join(args, "")
			if role != "" {
				asked = "role:" + role
			}
			s, err := server.Select(asked)
			if err != nil {
				return err
			}
			h, err := home.Find()
			if err != nil {
				return err
			}
			found, err := lookUp(cmd.Context(), h, s)
			if err != nil {
				return err
			}
			return c.showFound(found, asked)
		},
	}
	cmd.Flags().StringVar(&role, "role", "", "those that play a role, the first or a further one")
	return cmd
}

// lookUp returns the servers that a selector picks and that are ready.
func lookUp(ctx context.Context, h home.Home, s selection.Selector) ([]lookup.Found, error) {
	k, err := door.Find(ctx, h)
	if errors.Is(err, door.ErrNone) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer k.Release()
	return lookup.Find(ctx, k, s)
}

func (c command) showFound(found []lookup.Found, asked string) error {
	if len(found) == 0 {
		return console.Failure("what runs: divisi ps", "%s picks no server that is ready", asked)
	}
	if done, err := c.JSON(found); done {
		return err
	}
	rows := [][]string{{"SERVER", "ROLES", "SOCKETS"}}
	for _, f := range found {
		var at []string
		for _, s := range f.Sockets {
			at = append(at, s.Name+"="+s.Address)
		}
		rows = append(rows, []string{f.Server, cmp.Or(strings.Join(f.Roles, ","), "-"), cmp.Or(strings.Join(at, " "), "-")})
	}
	c.Columns(rows)
	return nil
}
