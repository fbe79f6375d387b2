package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/divisi-go/divisi/internal/deployer"
	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/platform/control"
	"github.com/divisi-go/divisi/platform/dashboard"
	"github.com/divisi-go/divisi/platform/deploy/process"
)

// runOptions are the flags of run.
type runOptions struct {
	name, configFile, colocate, admin string
	replicas                          []string
	mtls, watch                       bool
	timeout                           time.Duration
}

func (c *command) run() *cobra.Command {
	var o runOptions
	cmd := &cobra.Command{
		Use:   "run TARGET",
		Short: "Run a program as many supervised processes on this machine",
		Long: "Run a program as many supervised processes on this machine: one for every replica of\n" +
			"every group of components. TARGET is the folder of a main package, which is built first,\n" +
			"a program, or a TOML file. The first line on the output is the address of the page.\n\n" +
			"Ctrl-C drains and stops everything, in order; a second one ends it at once.",
		Example: "  divisi run .\n  divisi run ./examples/shop/shop.toml --replicas cart=3\n" +
			"  divisi run . --watch",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.runTarget(cmd.Context(), args[0], o)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.name, "name", "", "name of the application (default that of the program)")
	flags.StringVar(&o.configFile, "config", "", "TOML file, if TARGET is none")
	flags.StringVar(&o.colocate, "colocate", "file", "groups: those of the file, all in one, or none")
	flags.StringSliceVar(&o.replicas, "replicas", nil, "replicas: N, or GROUP=N, for some or all groups")
	flags.BoolVar(&o.mtls, "mtls", false, "mutual TLS between processes")
	flags.BoolVar(&o.watch, "watch", false, "build anew when the source changes, and upgrade without a pause")
	flags.StringVar(&o.admin, "admin", "localhost:0", "address of the live page and of /metrics; \"\" for none")
	flags.DurationVar(&o.timeout, "timeout", time.Minute, "time for everything to become ready")
	return cmd
}

func (c *command) runTarget(ctx context.Context, arg string, o runOptions) error {
	state, runtimeDir, err := folders()
	if err != nil {
		return err
	}
	replicas, err := parseReplicas(o.replicas)
	if err != nil {
		return err
	}
	if o.colocate != "file" && o.colocate != "all" && o.colocate != "none" {
		return usageError("--colocate %s: give file, all or none", o.colocate)
	}
	t, err := c.resolve(ctx, arg, o)
	if err != nil {
		return err
	}
	defer t.clean()
	spec, err := t.spec(o, replicas)
	if err != nil {
		return err
	}
	k, dir, err := openKeeper(state, spec.Name)
	if err != nil {
		return err
	}
	defer k.Close()
	events := dashboard.NewEvents()
	d, err := deployer.New(spec, process.NewLauncher(k), deployer.Options{
		RuntimeDir: runtimeDir,
		Logger:     slog.New(slog.DiscardHandler),
		HandleEvent: func(e deployer.Event) {
			events.Add(e)
			c.showEvent(e)
		},
	})
	if err != nil {
		return err
	}
	info := control.Info{Pid: os.Getpid(), LogDir: filepath.Join(dir, "logs")}
	page, err := dashboard.Listen(o.admin, d, events)
	if err != nil {
		return err
	}
	if page != nil {
		info.Admin = page.URL()
		go page.Serve(ctx)
	}
	controlCtx, controlEnd := context.WithCancel(context.WithoutCancel(ctx))
	defer controlEnd()
	go func() {
		server := &control.Server{App: d, Info: info}
		if err := server.Serve(controlCtx, runtimeDir); err != nil {
			fmt.Fprintf(c.err, "divisi: warning: %v\n", err)
		}
	}()
	return c.serve(ctx, d, t, o, replicas)
}

// serve runs the deployer until it ends.
func (c *command) serve(ctx context.Context, d *deployer.Deployer, t *target, o runOptions,
	replicas map[string]int) error {
	done := make(chan error, 1)
	go func() { done <- d.Serve(ctx) }()
	go func() {
		<-ctx.Done()
		// From now on a signal ends everything at once.
		again := make(chan os.Signal, 1)
		signal.Notify(again, os.Interrupt, syscall.SIGTERM)
		select {
		case <-again:
			fmt.Fprintln(c.err, "divisi: ending at once")
			d.Kill()
		case <-d.Over():
		}
	}()
	if err := c.showStart(ctx, d, o.timeout); err != nil {
		return errors.Join(err, <-done)
	}
	if o.watch {
		go c.watch(ctx, d, t, o, replicas)
	}
	return <-done
}

// showStart waits until everything is ready and shows it.
func (c *command) showStart(ctx context.Context, d *deployer.Deployer, limit time.Duration) error {
	readyCtx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("not ready within %v", limit))
	defer cancel()
	err := d.WaitReady(readyCtx)
	if errors.Is(err, deployer.ErrOver) || ctx.Err() != nil {
		return nil // it has ended; Serve knows why
	}
	status := d.Status()
	for i, l := range status.Listeners {
		if i == 0 {
			waitForPage(readyCtx, l.URL)
		}
		fmt.Fprintln(c.out, l.URL)
	}
	if err != nil {
		// What is not ready is supervised, and may become so: it is shown, not stopped.
		fmt.Fprintf(c.err, "divisi: warning: %v: see divisi status %s\n", err, status.App)
	}
	if done, err := c.json(status); done {
		return err
	}
	fmt.Fprintln(c.out)
	c.columns(replicaRows(status.Replicas))
	fmt.Fprintf(c.out, "\n%s runs as %d processes. Ctrl-C drains and stops them.\n",
		status.App, len(status.Replicas))
	return nil
}

// waitForPage waits until a page answers with anything.
func waitForPage(ctx context.Context, url string) {
	client := &http.Client{Timeout: time.Second}
	for ctx.Err() == nil {
		response, err := client.Get(url)
		if err == nil {
			response.Body.Close()
			return
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

// showEvent shows what an operator should notice.
func (c *command) showEvent(e deployer.Event) {
	var w io.Writer = c.err
	switch e.Kind {
	case "exited", "hung", "backoff", "failed", "upgraded":
		fmt.Fprintf(w, "%s %s\n", e.Time.Format(time.TimeOnly), e.Text)
	case "draining":
		if e.Replica == "" {
			fmt.Fprintf(w, "%s %s\n", e.Time.Format(time.TimeOnly), e.Text)
		}
	}
}

// parseReplicas reads N and GROUP=N.
func parseReplicas(flags []string) (map[string]int, error) {
	replicas := map[string]int{}
	for _, flag := range flags {
		group, count, ok := strings.Cut(flag, "=")
		if !ok {
			group, count = "", flag
		}
		n, err := strconv.Atoi(count)
		if err != nil || n < 1 || n > 1000 {
			return nil, usageError("--replicas %s: write N or GROUP=N, with N from 1 to 1000", flag)
		}
		replicas[group] = n
	}
	return replicas, nil
}

// appDir returns where the state of an application is.
func appDir(state, app string) string { return filepath.Join(state, "apps", app) }

// openKeeper opens the keeper of an application; if one of its name runs already, with a number
// behind the name.
func openKeeper(state, app string) (*keeper.Keeper, string, error) {
	const most = 100
	var first error
	for n := 1; n <= most; n++ {
		dir := appDir(state, app)
		if n > 1 {
			dir += "-" + strconv.Itoa(n)
		}
		if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
			return nil, "", err
		}
		k, err := keeper.Open(dir)
		if err == nil {
			return k, dir, nil
		}
		first = cmp.Or(first, err)
		if !errors.Is(err, keeper.ErrTaken) {
			break
		}
	}
	return nil, "", first
}
