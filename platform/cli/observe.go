package cli

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/pprof/profile"
	"github.com/spf13/cobra"

	"github.com/divisi-go/divisi/platform/telemetry"
)

func (c *command) logs() *cobra.Command {
	var follow bool
	var tail int
	var attrs []string
	f := &telemetry.Filter{}
	cmd := &cobra.Command{
		Use:   "logs [APP]",
		Short: "Show the log of an application",
		Long: "Show the log of an application, in the order of time. Without --follow the log of an\n" +
			"application that has ended is shown as well.",
		Example: "  divisi logs -f\n  divisi logs shop --component cart.Cart --level warn\n" +
			"  divisi logs --expr 'level == \"error\" && attrs.user == \"7\"'",
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			f.Attrs = map[string]string{}
			for _, attr := range attrs {
				key, value, ok := strings.Cut(attr, "=")
				if !ok {
					return usageError("--attr %s: write key=value", attr)
				}
				f.Attrs[key] = value
			}
			if err := f.Compile(); err != nil {
				return &exitError{exitUsage, err}
			}
			dir, err := logDir(cmd, args)
			if err != nil {
				return err
			}
			show := func(e telemetry.Entry) error {
				if c.output == "json" {
					return json.NewEncoder(c.out).Encode(e)
				}
				_, err := fmt.Fprintln(c.out, e.Format(c.color()))
				return err
			}
			logs := telemetry.OpenLogs(dir)
			if follow {
				return logs.Follow(cmd.Context(), f, tail, show)
			}
			entries, err := logs.Read()
			if err != nil {
				return err
			}
			var chosen []telemetry.Entry
			for _, e := range entries {
				if f.Match(e) {
					chosen = append(chosen, e)
				}
			}
			if cmd.Flags().Changed("tail") && tail >= 0 {
				chosen = chosen[max(0, len(chosen)-tail):]
			}
			for _, e := range chosen {
				if err := show(e); err != nil {
					return err
				}
			}
			return nil
		},
	}
	flags := cmd.Flags()
	flags.BoolVarP(&follow, "follow", "f", false, "go on with what is written from now on")
	flags.IntVar(&tail, "tail", 20, "only the last lines; with --follow, how many to begin with")
	flags.StringVar(&f.Component, "component", "", "only of a component")
	flags.StringVar(&f.Replica, "replica", "", "only of a replica, or of those whose names begin so")
	flags.StringVar(&f.Version, "version", "", "only of a version, or of those that begin so")
	flags.StringVar(&f.Level, "level", "", "only of this level and above: debug, info, warn, error")
	flags.StringArrayVar(&attrs, "attr", nil, "only with an attribute, as key=value")
	flags.StringVar(&f.Expr, "expr", "", "only where a condition holds (see expr-lang.org)")
	return cmd
}

// logDir returns where the logs of an application are, also when it has ended.
func logDir(cmd *cobra.Command, args []string) (string, error) {
	app, err := pick(cmd.Context(), args)
	if err == nil {
		return app.Info.LogDir, nil
	}
	state, _, stateErr := folders()
	if stateErr == nil && len(args) == 1 {
		dir := filepath.Join(appDir(state, args[0]), "logs")
		if _, statErr := os.Stat(dir); statErr == nil {
			return dir, nil
		}
	}
	return "", err
}

func (c *command) metrics() *cobra.Command {
	return &cobra.Command{
		Use:     "metrics [APP]",
		Short:   "Show the metrics of all replicas, as Prometheus reads them",
		Example: "  divisi metrics\n  divisi metrics shop -o json",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			app, err := pick(cmd.Context(), args)
			if err != nil {
				return err
			}
			all, err := app.Metrics(cmd.Context())
			if err != nil {
				return err
			}
			if done, err := c.json(all); done {
				return err
			}
			return telemetry.WritePrometheus(c.out, app.Status.App, all)
		},
	}
}

func (c *command) profile() *cobra.Command {
	var kind, group, file string
	var length time.Duration
	cmd := &cobra.Command{
		Use:   "profile [APP]",
		Short: "Profile one replica of every group, into a file for go tool pprof",
		Example: "  divisi profile --duration 10s\n  divisi profile shop --type heap --group cart\n" +
			"  go tool pprof -http : shop-cpu.pprof",
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if kind != "cpu" && kind != "heap" {
				return usageError("--type %s: the types are cpu and heap", kind)
			}
			app, err := pick(cmd.Context(), args)
			if err != nil {
				return err
			}
			parts, err := app.Profile(cmd.Context(), group, kind, length)
			if err != nil {
				return err
			}
			var profiles []*profile.Profile
			for replica, data := range parts {
				p, err := profile.ParseData(data)
				if err != nil {
					return fmt.Errorf("the profile of %s is damaged: %w", replica, err)
				}
				profiles = append(profiles, p)
			}
			merged, err := profile.Merge(profiles)
			if err != nil {
				return err
			}
			if file == "" {
				file = fmt.Sprintf("%s-%s.pprof", app.Status.App, kind)
			}
			f, err := os.Create(file)
			if err != nil {
				return err
			}
			if err := merged.Write(f); err != nil {
				f.Close()
				return err
			}
			if err := f.Close(); err != nil {
				return err
			}
			if done, err := c.json(map[string]any{"file": file, "replicas": len(parts)}); done {
				return err
			}
			fmt.Fprintf(c.out, "%d replicas profiled; look at it with: go tool pprof -http : %s\n",
				len(parts), file)
			return nil
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&kind, "type", "cpu", "cpu or heap")
	flags.DurationVar(&length, "duration", 5*time.Second, "length of a CPU profile")
	flags.StringVar(&group, "group", "", "only of one group")
	flags.StringVarP(&file, "file", "w", "", "file to write (default APP-TYPE.pprof)")
	return cmd
}
