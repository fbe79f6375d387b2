// Package keeper is the keeper as somebody looks at it, upgrades it and ends it.
package keeper

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/divisi-go/divisi/cmd/divisi/console"
	"github.com/divisi-go/divisi/cmd/divisi/unit"
	"github.com/divisi-go/divisi/internal/home"
	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/keeper/door"
	"github.com/divisi-go/divisi/internal/keeper/link"
)

// command is what the commands of this package share.
type command struct{ *console.Console }

// status is all that is known of the keeper.
type status struct {
	link.Info
	Door    string       `json:"door"`
	Unit    string       `json:"unit,omitempty"` // of systemd, that is to run it
	Sockets []keptSocket `json:"sockets"`
	Servers []keptServer `json:"servers"`
}

type keptSocket struct {
	Domain  string      `json:"domain"`
	Key     string      `json:"key"`
	Network string      `json:"network"`
	Address string      `json:"address"`
	Held    keeper.Held `json:"held"` // who has it
}

type keptServer struct {
	Name  string     `json:"name"`
	Pid   int        `json:"pid"`
	State string     `json:"state"`
	Exit  keeper.How `json:"exit,omitempty"` // how the end of the process before this one is known
}

// Command returns the command that is about the keeper.
func Command(shared *console.Console) *cobra.Command {
	c := command{shared}
	cmd := &cobra.Command{
		Use:   "keeper COMMAND",
		Short: "Look at the keeper, upgrade it, stop it, or have systemd run it",
		Long: "The keeper is the small process that servers are children of. It starts with the first of them, and\n" +
			"ends when it holds nothing. What it holds stays when it is killed; the next command that needs it\n" +
			"starts another one, which takes everything over.",
		Example: "  divisi keeper status\n  divisi keeper upgrade\n  divisi keeper stop --yes",
	}

	cmd.AddCommand(c.status(), c.upgrade(), c.stop())
	cmd.AddCommand(unit.Commands(c.Console)...)
	return cmd
}

func (c command) status() *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Show the keeper, its sockets and its servers",
		Long: "Show the keeper, its sockets and its servers. HELD says who has a socket: own (the keeper has opened\n" +
			"it), store (the keeper, to which systemd gave it back), getfd (the keeper, which took it back from a\n" +
			"process), relisten (the keeper, which has opened it again after it was killed), child (only\n" +
			"processes that were started before), lost (nobody). EXIT KNOWN BY is about the last process that\n" +
			"has ended: see divisi help exits.",
		Example: "  divisi keeper status -o json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			h, k, err := open(cmd.Context())
			if err != nil {
				return err
			}
			defer k.Release()

			s, err := look(cmd.Context(), h, k)
			if err != nil {
				return err
			}
			if done, err := c.JSON(s); done {
				return err
			}
			c.show(s)
			return nil
		},
	}
}

// unit says who runs the keeper.
func (s status) unit() string {
	switch {
	case s.Unit != "" && !s.Supervised:
		return s.Unit + ", which does not run it now"
	case s.Unit == "" && s.Supervised:
		return "of somebody else"
	case s.Unit == "":
		return "none"
	}
	return s.Unit
}

func open(ctx context.Context) (home.Home, *door.Client, error) {
	h, err := home.Find()
	if err != nil {
		return h, nil, err
	}
	k, err := door.Find(ctx, h)
	if errors.Is(err, door.ErrNone) {
		err = console.Failure("it starts with the first server: divisi start NAME -- PROGRAM", "no keeper runs")
	}
	return h, k, err
}

func look(ctx context.Context, h home.Home, k *door.Client) (status, error) {
	info, err := k.Info(ctx)
	if err != nil {
		return status{}, err
	}
	s := status{Info: info, Door: h.Keeper().Door, Sockets: []keptSocket{}, Servers: []keptServer{}}
	unit, err := h.Unit()
	if err != nil {
		return s, err
	}
	s.Unit = unit.Name
	sockets, err := k.Sockets(ctx, "")
	if err != nil {
		return s, err
	}
	for _, socket := range sockets {
		s.Sockets = append(s.Sockets, keptSocket{socket.Domain, socket.Key, socket.Network, socket.Actual, socket.Held})
	}
	list, err := k.List(ctx, "")
	if err != nil {
		return s, err
	}
	for _, p := range list {
		kept := keptServer{Name: p.ID.String(), Pid: p.Pid, State: string(p.State)}
		if p.LastExit != nil {
			kept.Exit = p.LastExit.How
		}
		s.Servers = append(s.Servers, kept)
	}

	return s, nil
}

func (c command) show(s status) {
	c.Columns([][]string{
		{"process", fmt.Sprint(s.Pid)}, {"program", s.Program}, {"protocol", fmt.Sprint(s.Protocol)},
		{"started", s.Started.Local().Format(time.DateTime)}, {"memory", fmt.Sprintf("%.1f MB", float64(s.Resident)/1e6)},
		{"clients", fmt.Sprint(s.Clients)}, {"unit", s.unit()}, {"home", s.Home}, {"door", s.Door},
		{"journal", cmp.Or(s.Trouble, "written")},
	})

	if len(s.Sockets) > 0 {
		rows := [][]string{{"SOCKET", "DOMAIN", "ADDRESS", "HELD"}}
		for _, k := range s.Sockets {
			rows = append(rows, []string{k.Key, k.Domain, k.Address, string(k.Held)})
		}
		fmt.Fprintln(c.Out)
		c.Columns(rows)
	}
	if len(s.Servers) > 0 {
		rows := [][]string{{"SERVER", "PID", "STATE", "EXIT KNOWN BY"}}
		for _, k := range s.Servers {
			rows = append(rows, []string{k.Name, fmt.Sprint(k.Pid), k.State, string(k.Exit)})
		}
		fmt.Fprintln(c.Out)
		c.Columns(rows)
	}
}

// upgraded says what became of the keeper.
type upgraded struct {
	Pid     int    `json:"pid"`
	Program string `json:"program"`
	Before  string `json:"before"` // the program
}

func (c command) upgrade() *cobra.Command {
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "upgrade [PROGRAM]",
		Short: "Have a newer program go on as the keeper",
		Long: "Have another program go on as the keeper: this divisi, unless you name one. It takes the place of the\n" +
			"program in the same process, with everything that the keeper holds; servers and clients notice nothing.\n" +
			"If it cannot take over, you are told why, and the keeper goes on as it was.",
		Example: "  divisi keeper upgrade\n  divisi keeper upgrade ./divisi -o json",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			program, err := os.Executable()
			if len(args) > 0 {
				program, err = filepath.Abs(args[0])
			}
			if err != nil {
				return err
			}
			return console.Within(cmd.Context(), timeout, func(ctx context.Context) error { return c.becomes(ctx, program) })
		},
	}

	console.TimeoutFlag(cmd, &timeout, time.Minute)
	return cmd
}

func (c command) becomes(ctx context.Context, program string) error {
	_, k, err := open(ctx)
	if err != nil {
		return err
	}
	defer k.Release()
	before, err := k.Info(ctx)
	if err != nil {
		return err
	}
	now, err := k.Upgrade(ctx, program)
	if err != nil {
		return err
	}

	if done, err := c.JSON(upgraded{now.Pid, now.Program, before.Program}); done {
		return err
	}
	fmt.Fprintf(c.Out, "the keeper, process %d, is %s now\n", now.Pid, now.Program)
	return nil
}

func (c command) stop() *cobra.Command {
	var yes bool
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:     "stop --yes",
		Short:   "Kill everything that the keeper holds, and end it",
		Long:    "Kill everything that the keeper holds, whoever has started it, and end the keeper. To stop servers in\norder use divisi stop --all --yes, after which the keeper ends by itself.",
		Example: "  divisi keeper stop --yes",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !yes {
				return console.UsageError("keeper stop kills every server: add --yes to say that you mean it")
			}
			return console.Within(cmd.Context(), timeout, func(ctx context.Context) error {
				_, k, err := open(ctx)
				if err != nil {
					return err
				}
				info, err := k.Info(ctx)
				if err == nil {
					err = k.Shutdown(ctx)
				}
				if err != nil {
					return err
				}
				if done, err := c.JSON(map[string]any{"stopped": info.Pid}); done {
					return err
				}
				fmt.Fprintf(c.Out, "stopped the keeper, process %d, and everything that it held\n", info.Pid)
				if info.Supervised {
					fmt.Fprintln(c.Out, "its supervisor starts another one, which holds nothing")
				}
				return nil
			})
		},
	}

	cmd.Flags().BoolVar(&yes, "yes", false, "confirm")
	console.TimeoutFlag(cmd, &timeout, time.Minute)
	return cmd
}
