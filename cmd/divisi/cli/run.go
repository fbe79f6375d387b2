package cli

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/divisi-go/divisi/cmd/divisi/dashboard"
	"github.com/divisi-go/divisi/cmd/divisi/telemetry"
	"github.com/divisi-go/divisi/envelope/protos"
	"github.com/divisi-go/divisi/internal/config"
	"github.com/divisi-go/divisi/internal/control"
	"github.com/divisi-go/divisi/internal/deployer"
	"github.com/divisi-go/divisi/internal/home"
	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/launch"
	"github.com/divisi-go/divisi/internal/name"
	"github.com/divisi-go/divisi/opentelemetry"
)

// runOptions are the flags of run.
type runOptions struct {
	name, configFile, colocate, admin string
	replicas                          map[string]int // by group, "" for all others
	mtls, watch                       bool
	timeout                           time.Duration
}

func (c *command) run() *cobra.Command {
	var o runOptions
	var replicas []string
	cmd := &cobra.Command{
		Use:   "run TARGET",
		Short: "Run a program as many supervised processes on this machine",
		Long: "Run a program as many supervised processes on this machine: one for every replica of\n" +
			"every group of components. TARGET is the folder of a main package or its import path,\n" +
			"which is built first, a program, or a TOML file. The first line on the output is the\n" +
			"address of the application's page, as soon as it answers.\n\n" +
			"A process that ends, or does not answer any more, is replaced. Ctrl-C drains and stops\n" +
			"everything, in order; a second one ends it at once.",
		Example: "  divisi run .\n  divisi run ./examples/shop/shop.toml --replicas cart=3\n" +
			"  divisi run . --colocate all --replicas 4\n  divisi run . --watch",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			if o.replicas, err = parseReplicas(replicas); err != nil {
				return err
			}
			if o.colocate != "file" && o.colocate != "all" && o.colocate != "none" {
				return usageError("--colocate %s: give file, all or none", o.colocate)
			}
			if o.name != "" {
				if err := name.CheckLabel(o.name); err != nil {
					return usageError("--name: %w", err)
				}
			}
			return c.runTarget(cmd.Context(), args[0], o)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.name, "name", "", "name of the application (default that of the program)")
	flags.StringVar(&o.configFile, "config", "", "TOML file, if TARGET is none")
	flags.StringVar(&o.colocate, "colocate", "file", "groups: those of the file, all in one, or none")
	flags.StringSliceVar(&replicas, "replicas", nil, "replicas: N, or GROUP=N, for some or all groups")
	flags.BoolVar(&o.mtls, "mtls", false, "mutual TLS between processes, with rights from the call graph")
	flags.BoolVar(&o.watch, "watch", false, "build anew when the source changes, and upgrade without a pause")
	flags.StringVar(&o.admin, "admin", "localhost:0", "address of the live page and of /metrics; \"\" for none")
	flags.DurationVar(&o.timeout, "timeout", time.Minute, "complain, or give up an upgrade, if not everything is ready after this time")
	return cmd
}

// runTarget runs an application until it ends.
func (c *command) runTarget(ctx context.Context, arg string, o runOptions) error {
	where, err := home.Find()
	if err != nil {
		return err
	}
	t, err := resolve(ctx, arg, o)
	if err != nil {
		return err
	}
	defer func() { t.clean() }()
	var source *source
	if o.watch {
		if t.pkg == nil {
			return usageError("--watch has nothing to watch: %s is a program, not a package", t.binary)
		}
		// Before it is built: no change after the build has read the source must be missed.
		if source, err = watch(ctx, t); err != nil {
			return err
		}
		defer source.close()
	}
	var spec deployer.Spec
	if source == nil {
		spec, err = t.make(ctx, c, o)
	} else {
		spec, err = source.first(ctx, c, o)
	}
	if err != nil {
		return err
	}
	for _, text := range unused(spec.Config) {
		fmt.Fprintf(c.err, "divisi: warning: %s\n", text)
	}
	claim, err := c.claim(where, &spec.Name, o.name != "")
	if err != nil {
		return err
	}
	defer claim.Release()
	k, err := keeper.Open(claim.State, claim.Logs)
	if err != nil {
		return err
	}
	defer k.Close()
	_ = telemetry.RemoveOld(k.LogDir(), time.Now().Add(-oldLogs)) // they only take space
	r := &runner{c: c, options: o, target: t, source: source, logDir: k.LogDir()}
	spans, endSpans, err := spanExport(ctx)
	if err != nil {
		return err
	}
	defer endSpans()
	r.deployer, err = deployer.New(spec, launch.NewLauncher(k), deployer.Options{
		RuntimeDir:  claim.Calls,
		Events:      &r.events,
		HandleSpans: spans,
		ReadyTime:   o.timeout,
	})
	if err != nil {
		return err
	}
	api := &control.Server{
		Name: spec.Name, App: r.deployer, Logs: r.logs, Events: &r.events,
		Controller: control.Controller{Pid: os.Getpid(), LogDir: k.LogDir()},
	}
	page, err := dashboard.Listen(o.admin, r.deployer, &r.events, k.LogDir())
	if err != nil {
		return err
	}
	if page != nil {
		api.Controller.Page = page.URL()
	}
	if err := api.Listen(claim.Door); err != nil {
		return err
	}
	r.admin = api.Controller.Page
	return r.serve(ctx, k, api, page)
}

// spanExport returns what takes the spans of weavelets, nil if nobody wants any, and what sends the
// last ones.
func spanExport(ctx context.Context) (take func(*protos.TraceSpans), end func(), err error) {
	if !opentelemetry.Wanted(os.Getenv) {
		return nil, func() {}, nil
	}
	exporter, err := opentelemetry.NewExporter(ctx)
	if err != nil {
		return nil, nil, err
	}
	return exporter.Export, func() {
		const limit = 5 * time.Second
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
		defer cancel()
		_ = exporter.Shutdown(ctx) // OpenTelemetry's handler has said what could not be sent
	}, nil
}

// oldLogs is how long the logs of replicas are kept that nothing was heard of, such as those of
// versions that were replaced.
const oldLogs = 7 * 24 * time.Hour

// unused says what a configuration asks for that run does not do.
func unused(conf config.App) (texts []string) {
	for _, place := range conf.Ignored {
		texts = append(texts, place+" is for another deployer, and not used")
	}
	if conf.Rollout != 0 {
		texts = append(texts, conf.File+": rollout is not used: an upgrade happens at once")
	}
	if conf.Orphan == config.OrphanServe {
		texts = append(texts, conf.File+`: orphan = "serve" is not used: processes end with divisi run`)
	}
	return texts
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
		if err != nil || n < 1 || n > 1000 || ok && group == "" {
			return nil, usageError("--replicas %s: write N or GROUP=N, with N from 1 to 1000", flag)
		}
		replicas[group] = n
	}
	return replicas, nil
}

// claim takes the domain of an application. If one of its name runs already, it gets a number behind
// the name, unless the name was asked for.
func (c *command) claim(h home.Home, app *string, fixed bool) (*home.Claim, error) {
	const most = 100
	first := *app
	for n := 1; ; n++ {
		if n > 1 {
			*app = first + "-" + strconv.Itoa(n)
		}
		claim, err := h.Domain(name.Domain(*app)).Claim()
		switch {
		case err == nil && n > 1:
			fmt.Fprintf(c.err, "divisi: warning: an application %s runs already: this one is %s\n", first, *app)
			return claim, nil
		case err == nil:
			return claim, nil
		case !errors.Is(err, home.ErrTaken) || n == most:
			return nil, err
		case fixed:
			return nil, failure("choose another --name, or stop that one: divisi stop "+first,
				"an application %s runs already", first)
		}
	}
}

// logs is the stream of the application's log.
func (r *runner) logs(ctx context.Context, parameters url.Values, emit func(any) error) error {
	q, err := telemetry.ParseQuery(parameters)
	if err != nil {
		return &control.Error{Code: control.Invalid, Text: err.Error()}
	}
	return telemetry.Show(ctx, r.logDir, q, func(e telemetry.Entry) error { return emit(e) })
}
