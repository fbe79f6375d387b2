package lab

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/divisi-go/divisi/cmd/divisi/console"
	"github.com/divisi-go/divisi/lab"
	"github.com/divisi-go/divisi/lab/fabric"
)

// negative is what the library says of a number below 0, which it takes for a flag.
var negative = regexp.MustCompile(`^unknown shorthand flag: '[0-9.]' in (-[0-9.].*)$`)

// link is a command that changes the link between two hosts. It has an argument more if there is a value.
func (c command) link(use, short, long, example string, value func(string) (fabric.Change, error)) *cobra.Command {
	oneWay := false
	count := strings.Count(use, " ") // of arguments
	cmd := &cobra.Command{
		Use: use, Short: short, Long: short + ". " + long, Example: "  divisi lab " + example, Args: cobra.ExactArgs(count),
		RunE: c.on(func(ctx context.Context, l *lab.Lab, args []string) error {
			change, err := value(args[len(args)-1])
			if err == nil {
				err = change.Check()
			}
			if err != nil {
				return console.UsageError("%w", err)
			}
			if oneWay {
				return l.ChangeWay(ctx, args[0], args[1], change)
			}
			return l.Change(ctx, args[0], args[1], change)
		}),
	}
	cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		if value := negative.FindStringSubmatch(err.Error()); value != nil {
			return console.UsageError("%s cannot be: give 0 or more", value[1])
		}
		return cmd.Root().FlagErrorFunc()(cmd, err)
	})
	cmd.Flags().BoolVar(&oneWay, "one-way", false, "only what the first host sends to the second one")
	return cmd
}

func (c command) cut() *cobra.Command {
	return c.link("cut HOST HOST", "Cut the link between two hosts", "What they send each other is lost in silence.",
		"cut host1 host2", func(string) (fabric.Change, error) { return fabric.Cut(), nil })
}

func (c command) heal() *cobra.Command {
	cmd := c.link("heal HOST HOST", "Make the link between two hosts as good as new", "Without hosts, all links are meant.",
		"heal host1 host2", func(string) (fabric.Change, error) { return fabric.Heal(), nil })
	two := cmd.RunE
	cmd.Use = "heal [HOST HOST]"
	cmd.Args = func(_ *cobra.Command, args []string) error {
		if len(args) != 0 && len(args) != 2 {
			return fmt.Errorf("give two hosts, or none for all links")
		}
		return nil
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 2 {
			return two(cmd, args)
		}
		return c.on(func(ctx context.Context, l *lab.Lab, _ []string) error { return l.Heal(ctx) })(cmd, args)
	}
	return cmd
}

func (c command) delay() *cobra.Command {
	return c.link("delay HOST HOST TIME", "Delay what two hosts send each other",
		"The time is that of one direction, so an answer takes twice as long.", "delay host1 host2 50ms",
		func(text string) (fabric.Change, error) {
			d, err := time.ParseDuration(text)
			if err != nil {
				return fabric.Change{}, fmt.Errorf("the delay %q is no time: give one such as 50ms", text)
			}
			return fabric.Change{Delay: &d}, nil
		})
}

func (c command) loss() *cobra.Command {
	return c.link("loss HOST HOST PERCENT", "Lose a share of what two hosts send each other", "0 loses nothing.",
		"loss host1 host2 10%", func(text string) (fabric.Change, error) {
			share, err := share(text)
			return fabric.Change{Loss: &share}, err
		})
}

func (c command) duplicate() *cobra.Command {
	return c.link("duplicate HOST HOST PERCENT", "Have a share of what two hosts send each other arrive twice",
		"0 doubles nothing.", "duplicate host1 host2 5%", func(text string) (fabric.Change, error) {
			share, err := share(text)
			return fabric.Change{Duplicate: &share}, err
		})
}

// share reads a share in percent.
func share(text string) (float64, error) {
	percent, err := strconv.ParseFloat(strings.TrimSuffix(text, "%"), 64)
	if err != nil {
		return 0, fmt.Errorf("%q is no share: give one such as 10%%", text)
	}
	return percent / 100, nil
}

// show shows the lab, and how long it has taken to make it.
func (c command) show(ctx context.Context, l *lab.Lab, took time.Duration) error {
	s, err := l.Status(ctx)
	if err != nil {
		return explained(err)
	}
	if done, err := c.JSON(s); done {
		return err
	}

	if took > 0 {
		fmt.Fprintf(c.Out, "%d hosts are up after %.2f s\n", len(s.Hosts), took.Seconds())
	}
	rows := [][]string{{"HOST", "ADDRESS", "POWER", "CLOCK", "DISKS"}}
	for _, h := range s.Hosts {
		power, clock, disks := "on", "right", "-"
		if !h.Power {
			power = "off"
		}
		if h.Clock != 0 {
			clock = h.Clock.String()
		}
		for i, d := range h.Disks {
			if i == 0 {
				disks = ""
			}
			disks += strings.Repeat(", ", min(i, 1)) + diskText(d)
		}
		rows = append(rows, []string{h.Name, h.Address, power, clock, disks})
	}
	c.Columns(rows)
	if took == 0 {
		fmt.Fprintln(c.Out)
		c.Columns(linkRows(s.Links))
	}
	return nil
}

// linkRows is the table of links. Each direction is one.
func linkRows(links []lab.LinkStatus) [][]string {
	rows := [][]string{{"FROM", "TO", "LINK", "DELAY", "LOSS", "DUPLICATE", "FRAMES", "LOST"}}
	for _, link := range links {
		state := "whole"
		if link.Cut {
			state = "cut"
		}
		rows = append(rows, []string{link.From, link.To, state, link.Delay.String(), percent(link.Loss), percent(link.Duplicate),
			strconv.FormatUint(link.Frames, 10), strconv.FormatUint(link.Lost, 10)})
	}
	return rows
}

func percent(share float64) string { return strconv.FormatFloat(share*100, 'g', 4, 64) + "%" }
