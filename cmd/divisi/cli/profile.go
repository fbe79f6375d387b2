package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/divisi-go/divisi/cmd/divisi/console"
	"github.com/divisi-go/divisi/cmd/divisi/estate"
	"github.com/divisi-go/divisi/cmd/divisi/subject"
	"github.com/divisi-go/divisi/cmd/divisi/telemetry"
	"github.com/divisi-go/divisi/internal/name"
)

// profileOptions are the flags of profile.
type profileOptions struct {
	kind, group, file string
	length, timeout   time.Duration
}

func (c *command) profile() *cobra.Command {
	var o profileOptions
	cmd := subject.OneApplication(&cobra.Command{
		Use:   "profile [APP]",
		Short: "Profile one replica of every group, into a file for go tool pprof",
		Long: "Profile one replica of every group at the same time, and merge the profiles into a file\n" +
			"for go tool pprof. The exit code is 3 if some replicas could not be profiled.",
		Example: "  divisi profile --duration 10s\n  divisi profile shop --type heap --group cart\n" +
			"  go tool pprof -http : shop-cpu.pprof",
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case o.kind != "cpu" && o.kind != "heap":
				return console.UsageError("--type %s: the types are cpu and heap", o.kind)
			case o.length <= 0:
				return console.UsageError("--duration %v: give a time, such as 10s", o.length)
			}

			app, err := subject.Pick(cmd.Context(), args)
			if err != nil {
				return err
			}

			var groups []string
			for _, g := range app.Status.Groups {
				groups = append(groups, g.Name)
			}

			if o.group != "" && !slices.Contains(groups, o.group) {
				return console.UsageError("--group %s: there is no such group: %s", o.group, name.Suggest(o.group, groups))
			}

			limit := o.timeout
			if o.kind == "cpu" {
				limit += o.length
			}

			return console.Within(cmd.Context(), limit, func(ctx context.Context) error {
				return c.writeProfile(ctx, app, o)
			})
		},
	})

	flags := cmd.Flags()
	flags.StringVar(&o.kind, "type", "cpu", "cpu or heap")
	flags.DurationVar(&o.length, "duration", 5*time.Second, "length of a CPU profile")
	flags.StringVar(&o.group, "group", "", "only of one group")
	flags.StringVarP(&o.file, "file", "w", "", "file to write; - is the output (default APP-TYPE.pprof)")
	flags.DurationVar(&o.timeout, "timeout", 15*time.Second, "give up so long after the end of the profile")
	console.Complete(cmd, "type", "cpu", "heap")
	subject.CompleteFlag(cmd, "group", func(app estate.Application) (groups []string) {
		for _, g := range app.Status.Groups {
			groups = append(groups, g.Name)
		}
		return groups
	})

	return cmd
}

func (c *command) writeProfile(ctx context.Context, app estate.Application, o profileOptions) error {
	if o.file != "-" && c.ErrTerminal && o.kind == "cpu" {
		fmt.Fprintf(c.Err, "profiling %s for %v\n", app.Status.App, o.length)
	}

	subject.TellMoment(c.Console, app)
	answer, err := app.Profile(ctx, o.group, o.kind, o.length)
	if err != nil {
		return err
	}

	merged, err := telemetry.MergeProfiles(answer.Profiles)
	if err != nil {
		return err
	}
	if o.file == "" {
		o.file = fmt.Sprintf("%s-%s.pprof", app.Status.App, o.kind)
	}

	var missing error
	if answer.Failed != "" {
		missing = &console.Error{Code: console.Degraded, Err: errors.New("not profiled: " + answer.Failed)}
	}
	if o.file == "-" {
		return errors.Join(merged.Write(c.Out), missing)
	}
	if err := writeFile(o.file, merged.Write); err != nil {
		return err
	}

	var replicas []string
	for _, p := range answer.Profiles {
		replicas = append(replicas, p.Name)
	}

	if done, err := c.JSON(map[string]any{"file": o.file, "replicas": replicas}); done {
		return errors.Join(err, missing)
	}

	fmt.Fprintf(c.Out, "%d replicas profiled; look at it with: go tool pprof -http : %s\n",
		len(replicas), o.file)
	return missing
}

func writeFile(path string, write func(io.Writer) error) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(write(f), f.Close())
}
