// Package lab has the commands about a lab: several hosts on one machine.
package lab

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/divisi-go/divisi/cmd/divisi/console"
	"github.com/divisi-go/divisi/internal/home"
	"github.com/divisi-go/divisi/lab"
)

// command is what the commands share.
type command struct{ *console.Console }

// Command returns the command with its subcommands.
func Command(shared *console.Console) *cobra.Command {
	c := command{shared}
	cmd := &cobra.Command{
		Use:   "lab COMMAND",
		Short: "Put several hosts on this machine, and cut, slow and lose what is between them",
		Long: "Put several hosts on this machine. Each has its own network, processes and files, and knows the others by\n" +
			"name. The links between them can be cut, slow and lossy; hosts lose their power and get it back. Root is\n" +
			"not needed. All of it is in memory, and gone when the lab ends.\n\n" +
			"A host sees the files of this machine, read-only. /tmp, /run, /var/tmp, /dev/shm and your home folder are its\n" +
			"own, and empty at first. There is one lab for each DIVISI_HOME.",
		Example: "  divisi lab up --hosts 3\n" +
			"  divisi lab exec host1 -- divisi start web --listen http=:8080 -- ./web\n" +
			"  divisi lab delay host1 host2 50ms\n" +
			"  divisi lab cut host1 host3\n" +
			"  divisi lab down",
	}
	cmd.AddCommand(c.up(), c.down(), c.status(), c.exec(), c.cut(), c.heal(), c.delay(), c.loss(), c.duplicate(),
		c.kill(), c.boot(), c.disk(), c.clock())
	return cmd
}

// name is what the lab of a state folder is called.
func name() (string, error) {
	h, err := home.Find()
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256([]byte(h.Dir))
	return hex.EncodeToString(sum[:8]), nil
}

// find returns the lab that is up.
func find(ctx context.Context) (*lab.Lab, error) {
	n, err := name()
	if err != nil {
		return nil, err
	}
	l, err := lab.Find(ctx, n)
	return l, explained(err)
}

// explained adds the way out to errors that have one.
func explained(err error) error {
	switch {
	case errors.Is(err, lab.ErrNone):
		return console.Failure("divisi lab up", "%w", err)
	case errors.Is(err, lab.ErrUp):
		return console.Failure("divisi lab down", "%w", err)
	}
	return err
}

func (c command) up() *cobra.Command {
	var config lab.Config
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Make the lab",
		Long: "Make the lab. Hosts are called host1, host2 and so on, unless --name says how. With --chain each host has\n" +
			"links to the one before and the one after it only. --share shows a file or folder to all hosts where they\n" +
			"have their own, such as one in /tmp or your home folder; it is read-only. divisi itself is shared.",
		Example: "  divisi lab up --hosts 5 --chain\n  divisi lab up --name db --name web --share ./build",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if cmd.Flags().Changed("hosts") && len(config.Names) > 0 {
				return console.UsageError("--hosts and --name exclude each other: give one of them")
			}
			if config.Hosts < 1 {
				return console.UsageError("--hosts %d: a lab has one host at least", config.Hosts)
			}
			n, err := name()
			if err != nil {
				return err
			}
			begin := time.Now()
			l, err := lab.Stay(cmd.Context(), config, n)
			if err != nil {
				return explained(err)
			}
			return c.show(cmd.Context(), l, time.Since(begin))
		},
	}

	flags := cmd.Flags()
	flags.IntVar(&config.Hosts, "hosts", 3, "how many hosts")
	flags.StringArrayVar(&config.Names, "name", nil, "name of a host, once for each")
	flags.BoolVar(&config.Chain, "chain", false, "links between neighbours only")
	flags.StringArrayVar(&config.Share, "share", nil, "file or folder that all hosts see, read-only")
	flags.Uint64Var(&config.Seed, "seed", 0, "seed of the lots that decide which frames are lost")
	return cmd
}

func (c command) down() *cobra.Command {
	return &cobra.Command{
		Use: "down", Short: "End the lab and everything in it", Example: "  divisi lab down", Args: cobra.NoArgs,
		RunE: c.on(func(ctx context.Context, l *lab.Lab, _ []string) error { return explained(l.Down(ctx)) }),
	}
}

func (c command) status() *cobra.Command {
	return &cobra.Command{
		Use: "status", Short: "Show hosts and links", Example: "  divisi lab status -o json", Args: cobra.NoArgs,
		RunE: c.on(func(ctx context.Context, l *lab.Lab, _ []string) error { return c.show(ctx, l, 0) }),
	}
}

func (c command) exec() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "exec [flags] HOST -- PROGRAM [ARGS]",
		Short: "Run a program on a host",
		Long: "Run a program on a host, with this terminal, and end with its exit code. It runs in this folder if the host\n" +
			"sees it, else in /. It has the environment of this command, without the variables that name folders outside of\n" +
			"the host. You are root there. What it leaves in the background goes on.",
		Example: "  divisi lab exec host1 -- sh -c 'hostname; cat /etc/hosts'",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) < 2 || args[1] == "--" && len(args) < 3 {
				return errors.New("give a host and a program")
			}
			return nil
		},
		RunE: c.on(func(ctx context.Context, l *lab.Lab, args []string) error {
			program := args[1:]
			if program[0] == "--" {
				program = program[1:]
			}
			exit, err := l.Host(args[0]).Run(ctx, lab.Command{Args: program, Dir: dir, Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr})
			if err == nil && exit != 0 {
				return &console.Error{Code: exit}
			}
			return err
		}),
	}
	cmd.Flags().SetInterspersed(false)
	cmd.Flags().StringVar(&dir, "dir", "", "folder that the program runs in")
	return cmd
}

func (c command) kill() *cobra.Command {
	return &cobra.Command{
		Use: "kill HOST", Short: "Take the power of a host", Args: cobra.ExactArgs(1),
		Long: "Take the power of a host. All its processes end at once, and its own files are gone. Its disks stay, as does its\n" +
			"wrong clock. divisi lab boot gives the power back.",
		Example: "  divisi lab kill host2",
		RunE:    c.on(func(ctx context.Context, l *lab.Lab, args []string) error { return l.Host(args[0]).Kill(ctx) }),
	}
}

func (c command) boot() *cobra.Command {
	return &cobra.Command{
		Use: "boot HOST", Short: "Give a host its power back", Example: "  divisi lab boot host2", Args: cobra.ExactArgs(1),
		RunE: c.on(func(ctx context.Context, l *lab.Lab, args []string) error { return l.Host(args[0]).Boot(ctx) }),
	}
}

func (c command) clock() *cobra.Command {
	cmd := &cobra.Command{
		Use: "clock HOST OFFSET", Short: "Have the clock of a host be wrong", Args: cobra.ExactArgs(2),
		Long: "Have the wall clock of a host be wrong by an offset, such as 90s or -1h; 0s makes it right. Programs made with\n" +
			"Divisi see it where times of several machines are compared, such as the life of certificates. All others have the\n" +
			"clock of the machine.",
		Example: "  divisi lab clock host2 -1h",
		RunE: c.on(func(ctx context.Context, l *lab.Lab, args []string) error {
			offset, err := time.ParseDuration(args[1])
			if err != nil {
				return console.UsageError("the offset %q is no time: give one such as 90s or -1h", args[1])
			}
			return l.Host(args[0]).Clock(ctx, offset)
		}),
	}
	cmd.Flags().SetInterspersed(false)
	return cmd
}

// on is a command about the lab that is up.
func (c command) on(f func(context.Context, *lab.Lab, []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		l, err := find(cmd.Context())
		if err != nil {
			return err
		}
		return f(cmd.Context(), l, args)
	}
}
