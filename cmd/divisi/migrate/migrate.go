// Package migrate has the command that makes an application of Divisi out of one of Service Weaver.
package migrate

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/rogpeppe/go-internal/diff"
	"github.com/spf13/cobra"

	"github.com/divisi-go/divisi/cmd/divisi/console"
	"github.com/divisi-go/divisi/internal/gen"
)

// errNoRelease is why a module cannot require Divisi.
var errNoRelease = errors.New("this divisi is of no release that a module could require")

// command is the command with its flags.
type command struct {
	*console.Console
	to     Target
	dryRun bool
}

// Command returns the command; the version is that of the release it is of, or empty.
func Command(shared *console.Console, version string) *cobra.Command {
	c := &command{Console: shared, to: Target{Version: version}}
	cmd := &cobra.Command{
		Use:   "migrate [DIR]",
		Short: "Make an application of Divisi out of one of Service Weaver",
		Long: "Make an application of Divisi out of one of Service Weaver, in the module in a folder and those below it. It\n" +
			"changes imports, go:generate lines and go.mod, removes weaver_gen.go, writes the generated code, and then\n" +
			"builds, vets and tests the application. It says what it has changed, and what is left to you, and why, as\n" +
			"file:line. What is one of Divisi's already stays as it is, and so do files of configuration, which are read as\n" +
			"they are.",
		Example: "  divisi migrate --dry-run   # show what would change\n" +
			"  divisi migrate\n" +
			"  divisi migrate --all shop  # also scripts, workflows and documents",
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.run(cmd.Context(), strings.Join(args, ""))
		},
	}
	f := cmd.Flags()
	f.BoolVar(&c.dryRun, "dry-run", false, "change nothing, and show the difference that it would make")
	f.BoolVar(&c.to.All, "all", false, "also change the commands in Makefiles, Dockerfiles, scripts, workflows and documents")
	f.StringVar(&c.to.Replace, "replace", "", "folder of a clone of Divisi, to be used in place of a release")
	return cmd
}

func (c *command) run(ctx context.Context, dir string) error {
	dir = filepath.Clean(dir)
	if c.to.Replace != "" {
		clone, err := filepath.Abs(c.to.Replace)
		if err != nil {
			return err
		}
		if _, err := os.Stat(filepath.Join(clone, "go.mod")); err != nil {
			return console.UsageError("--replace %s: it has no go.mod: name a clone of Divisi", c.to.Replace)
		}
		c.to.Replace = clone
	}
	plan, err := Make(os.DirFS(dir), c.to)
	switch {
	case errors.Is(err, errNoModule):
		return console.Failure("name the folder of a module", "%s has no go.mod, nor has a folder in it", dir)
	case errors.Is(err, errNoRelease):
		return console.Failure("name the clone that it was built from, as in --replace ~/divisi", "%w", err)
	case err != nil:
		return err
	}

	if c.dryRun {
		return c.show(plan)
	}
	if err := plan.write(dir); err != nil {
		return fmt.Errorf("cannot change all files: %w", err)
	}
	if done, err := c.JSON(plan); done && err != nil {
		return err
	}
	c.notes(plan)
	if len(plan.files) == 0 {
		return nil
	}
	for _, module := range plan.Modules {
		if err := c.finish(ctx, filepath.Join(dir, module)); err != nil {
			return err
		}
	}
	c.next(plan, dir)
	return nil
}

// show writes what would change.
func (c *command) show(plan *Plan) error {
	if done, err := c.JSON(plan); done {
		return err
	}
	c.notes(plan)
	for _, f := range plan.files {
		if _, err := c.Out.Write(diff.Diff("a/"+f.path, f.before, "b/"+f.path, f.after)); err != nil {
			return err
		}
	}
	return nil
}

// notes says what is changed and what is left, to those who do not read JSON.
func (c *command) notes(plan *Plan) {
	if len(plan.files) == 0 {
		fmt.Fprintln(c.Err, "nothing here is of Service Weaver: no file changes")
	}
	for _, n := range plan.Changed {
		fmt.Fprintln(c.Err, n)
	}
	if len(plan.Left) > 0 {
		fmt.Fprintln(c.Err, "\nleft to you:")
	}
	for _, n := range plan.Left {
		fmt.Fprintln(c.Err, n)
	}
}

// finish does the rest in a module: what it requires, its generated code, and whether it is right.
func (c *command) finish(ctx context.Context, dir string) error {
	fmt.Fprintln(c.Err)
	steps := [][]string{{"mod", "tidy"}, nil, {"build", "./..."}, {"vet", "./..."}, {"test", "./..."}}
	if _, err := os.Stat(filepath.Join(dir, "vendor", "modules.txt")); err == nil {
		steps[1] = []string{"mod", "vendor"}
	}
	for i, step := range steps {
		if step != nil {
			if err := c.do(ctx, dir, step...); err != nil {
				return err
			}
		}
		if i == 1 {
			fmt.Fprintln(c.Err, "divisi generate ./...")
			if err := gen.Run(ctx, gen.Options{Dir: dir, Patterns: []string{"./..."}, Report: c.Err}); err != nil {
				return console.Failure("mend this, and then: divisi generate ./... && go test ./...", "%w", err)
			}
		}
	}
	return nil
}

// do runs the go command.
func (c *command) do(ctx context.Context, dir string, args ...string) error {
	line := "go " + strings.Join(args, " ")
	progress := c.Progress(line)
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = dir
	var printed bytes.Buffer
	cmd.Stdout, cmd.Stderr = &printed, &printed
	err := cmd.Run()
	took := progress.End()
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		c.Err.Write(printed.Bytes())
		return console.Failure("the sources have changed; mend what it says, and then: divisi generate ./... && go test ./...",
			"%s fails in %s: %w", line, dir, err)
	}
	fmt.Fprintf(c.Err, "%s (%.1f s)\n", line, took.Seconds())
	return nil
}

// next says what can be done now, with paths that a shell here understands.
func (c *command) next(plan *Plan, dir string) {
	fmt.Fprint(c.Err, "\ndone; now\n\n  git diff\n")
	switch len(plan.Configs) {
	case 0:
		fmt.Fprintf(c.Err, "  divisi run %s\n", dir)
	case 1:
		config := filepath.Join(dir, filepath.FromSlash(plan.Configs[0]))
		folder := filepath.Dir(config)
		if filepath.IsLocal(folder) && folder != "." {
			folder = "." + string(filepath.Separator) + folder
		}
		fmt.Fprintf(c.Err, "  DIVISI_CONFIG=%s go run %s\n", config, folder)
		fmt.Fprintf(c.Err, "  divisi run %s\n", config)
	default:
		for _, config := range plan.Configs[:2] {
			fmt.Fprintf(c.Err, "  divisi run %s\n", filepath.Join(dir, filepath.FromSlash(config)))
		}
	}
}
