package cli

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"

	"github.com/divisi-go/divisi/codegen"
	"github.com/divisi-go/divisi/internal/gen"
	"github.com/divisi-go/divisi/internal/name"
	"github.com/divisi-go/divisi/platform/build"
)

func (c *command) callgraph() *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:     "callgraph BINARY|FOLDER",
		Short:   "Show which components of a program call which, without running it",
		Example: "  divisi callgraph .\n  divisi callgraph ./shop --format mermaid",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			infos, err := c.componentsOf(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if c.output == "json" {
				format = "json"
			}
			switch format {
			case "json":
				c.output = "json"
				_, err := c.json(infos)
				return err
			case "mermaid":
				c.mermaid(infos)
			case "text":
				c.graphText(infos)
			default:
				return usageError("--format %s: the formats are text, json and mermaid", format)
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&format, "format", "text", "text, json or mermaid")
	return cmd
}

// componentsOf reads them from a program, which is built first if a folder is given.
func (c *command) componentsOf(ctx context.Context, target string) ([]codegen.Info, error) {
	info, err := os.Stat(target)
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		dir, err := os.MkdirTemp("", "divisi")
		if err != nil {
			return nil, err
		}
		defer os.RemoveAll(dir)
		if target, err = build.Package(ctx, target, dir); err != nil {
			return nil, err
		}
	}
	return build.Components(target)
}

func (c *command) graphText(infos []codegen.Info) {
	for _, i := range infos {
		fmt.Fprint(c.out, i.Name)
		for _, l := range i.Listeners {
			fmt.Fprintf(c.out, " listens:%s", l)
		}
		if i.Routed {
			fmt.Fprint(c.out, " routed")
		}
		fmt.Fprintln(c.out)
		for _, ref := range i.Refs {
			fmt.Fprintf(c.out, "  -> %s\n", ref)
		}
	}
}

func (c *command) mermaid(infos []codegen.Info) {
	number := map[string]int{}
	fmt.Fprintln(c.out, "graph TD")
	for n, i := range infos {
		number[i.Name] = n
		fmt.Fprintf(c.out, "    c%d[%q]\n", n, name.Component(i.Name).Short())
	}
	for n, i := range infos {
		for _, ref := range i.Refs {
			if to, ok := number[ref]; ok {
				fmt.Fprintf(c.out, "    c%d --> c%d\n", n, to)
			}
		}
	}
}

func (c *command) generate() *cobra.Command {
	var options gen.Options
	cmd := &cobra.Command{
		Use:     "generate [PACKAGES]",
		Short:   "Write the code that connects components",
		Example: "  divisi generate ./...\n  divisi generate --check ./...",
		RunE: func(cmd *cobra.Command, args []string) error {
			options.Patterns = args
			options.Report = c.err
			return gen.Run(cmd.Context(), options)
		},
	}
	cmd.Flags().BoolVar(&options.Check, "check", false, "write nothing; fail if a file would change")
	cmd.Flags().StringVar(&options.Tags, "tags", "", "build tags, separated by commas")
	return cmd
}

// Version is that of the command; a release sets it.
var Version = "development"

func (c *command) version() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Show the version of this command",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			version := Version
			if info, ok := debug.ReadBuildInfo(); ok && version == "development" &&
				strings.HasPrefix(info.Main.Version, "v") {
				version = info.Main.Version
			}
			v := map[string]string{"version": version, "go": runtime.Version(),
				"platform": runtime.GOOS + "/" + runtime.GOARCH, "protocol": "0.20", "wire": "1"}
			if done, err := c.json(v); done {
				return err
			}
			fmt.Fprintf(c.out, "divisi %s %s %s\n", version, v["go"], v["platform"])
			return nil
		},
	}
}
