package server

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/divisi-go/divisi/cmd/divisi/console"
	"github.com/divisi-go/divisi/internal/home"
	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/keeper/door"
)

// openThere returns the desk of a command for which something must run.
func openThere(ctx context.Context, command string) (*Desk, error) {
	d, err := Open(ctx, command, false)
	if errors.Is(err, door.ErrNone) {
		return nil, errNone
	}
	return d, err
}

// openRecords returns the desk of a command that looks at what was. A keeper is begun only if there has
// been one.
func openRecords(ctx context.Context, command string) (*Desk, error) {
	h, err := home.Find()
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(h.Keeper().State); err != nil {
		return nil, errNone
	}
	return Open(ctx, command, true)
}

func (c command) wait() *cobra.Command {
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "wait NAME[@/DOMAIN]",
		Short: "Wait for the end of a server's process",
		Long: "Wait for the end of the process that a server has now, and end with its exit code: 128 and the\n" +
			"number of the signal if one has ended it, 1 if nobody can know. Of a server that has ended it is\n" +
			"the last process. The keeper may start the server again meanwhile.",
		Example:           "  divisi start import --restart temporary -- ./import.sh && divisi wait import",
		Args:              exactlyOne("the name of a server"),
		ValidArgsFunction: complete,
		RunE: func(cmd *cobra.Command, args []string) error {
			if timeout > 0 {
				return console.Within(cmd.Context(), timeout, func(ctx context.Context) error { return c.runWait(ctx, args[0]) })
			}
			return c.runWait(cmd.Context(), args[0])
		},
	}

	cmd.Flags().DurationVar(&timeout, "timeout", 0, "give up after this time (default never)")
	return cmd
}

func (c command) runWait(ctx context.Context, asked string) error {
	d, err := openRecords(ctx, "divisi wait "+asked)
	if err != nil {
		return err
	}
	defer d.close()
	r, err := d.ending(ctx, asked)
	if err != nil {
		return err
	}
	exit, err := d.Wait(ctx, keeper.ID{Domain: domainOf(r.Name), Name: bareOf(r.Name), Run: r.Run})
	if err != nil {
		return err
	}

	r.Exit = exitOf(exit)
	if err := c.showExit(r); err != nil {
		return err
	}
	if code := codeOf(exit); code != 0 {
		return &console.Error{Code: code}
	}
	return nil
}

// ending returns the start to wait for: the one that runs, or the last one.
func (d *Desk) ending(ctx context.Context, asked string) (Record, error) {
	list, err := d.List(ctx, "")
	if err != nil {
		return Record{}, err
	}
	p, unknown := Only(list, asked)
	if unknown == nil && p.Pid != 0 {
		return Record{Name: p.ID.String(), Run: p.Run, Pid: p.Pid}, nil
	}
	if len(Find(list, asked)) > 1 {
		return Record{}, unknown
	}

	records, err := d.records(ctx, asked)
	if err != nil {
		return Record{}, err
	}
	if len(records) == 0 {
		return Record{}, unknown
	}
	last := records[len(records)-1]
	for _, r := range records {
		if r.Name != last.Name {
			return Record{}, console.UsageError("several servers have had the name %s: give one of %s, %s", asked, r.Name, last.Name)
		}
	}

	return last, nil
}

func bareOf(full string) string {
	bare, _, _ := strings.Cut(full, "@")
	return bare
}

func domainOf(full string) string {
	_, domain, _ := strings.Cut(full, "@")
	return domain
}

// records returns how processes have ended: of those that a selector picks, or all.
func (d *Desk) records(ctx context.Context, asked string) ([]Record, error) {
	picks := func(keeper.ID) bool { return true }
	if asked != "" {
		s, err := Select(asked)
		if err != nil {
			return nil, err
		}
		picks = func(id keeper.ID) bool { return Picks(s, keeper.Proc{ID: id}) }
	}
	list, err := d.Exits(ctx, "", 0)
	if err != nil {
		return nil, err
	}

	records := []Record{}
	for _, r := range list {
		if picks(r.ID) {
			records = append(records, Record{r.Number, r.ID.String(), r.Run, r.Pid, exitOf(r.Exit)})
		}
	}
	return records, nil
}

// firstSignal is added to the number of a signal in an exit code, as shells do.
const firstSignal = 128

// codeOf returns the exit code of a command that stands for a server that has ended.
func codeOf(e keeper.Exit) int {
	if e.Signal == "" {
		if e.Code < 0 {
			return console.Failed
		}
		return e.Code
	}

	const last = 64
	for number := syscall.Signal(1); number <= last; number++ {
		if number.String() == e.Signal {
			return firstSignal + int(number)
		}
	}
	return console.Failed
}

func (c command) showExit(r Record) error {
	if done, err := c.JSON(r); done {
		return err
	}
	_, err := fmt.Fprintf(c.Out, "%s %s (process %d)\n", r.Name, r.Text, r.Pid)
	return err
}

func (c command) exits() *cobra.Command {
	return &cobra.Command{
		Use:   "exits [SELECTOR]",
		Short: "List how processes have ended",
		Long: "List how the processes of servers have ended, the last ones at the end: all of them, or those of\n" +
			"the servers that SELECTOR picks by their names and domains. Numbers grow with time. KNOWN BY says where the keeper\n" +
			"has it from: wait (it was the parent), stat or pidfd (the process was started by a keeper before\n" +
			"it), unknown (nobody can know), reboot (the machine was started again).",
		Example:           "  divisi exits web\n  divisi exits /shop -o json",
		Args:              between(0, 1, "at most one selector of servers"),
		ValidArgsFunction: complete,
		RunE: func(cmd *cobra.Command, args []string) error {
			records := []Record{}
			d, err := openRecords(cmd.Context(), "divisi exits")
			if err == nil {
				defer d.close()
				records, err = d.records(cmd.Context(), strings.Join(args, ""))
			}
			if err != nil && err != errNone {
				return err
			}
			if len(records) == 0 && len(args) > 0 {
				return console.Failure("all of them: divisi exits", "no process of %s has ended", args[0])
			}

			if done, err := c.JSON(records); done {
				return err
			}
			rows := [][]string{{"NUMBER", "NAME", "PID", "TIME", "END", "KNOWN BY"}}
			for _, r := range records {
				rows = append(rows, []string{fmt.Sprint(r.Number), r.Name, fmt.Sprint(r.Pid),
					r.Time.Local().Format(time.DateTime), r.Text, string(r.How)})
			}
			c.Columns(rows)
			return nil
		},
	}
}
