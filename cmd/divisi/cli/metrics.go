package cli

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/divisi-go/divisi/cmd/divisi/console"
	"github.com/divisi-go/divisi/cmd/divisi/subject"
	"github.com/divisi-go/divisi/cmd/divisi/telemetry"
)

func (c *command) metrics() *cobra.Command {
	var timeout time.Duration
	cmd := subject.OneApplication(&cobra.Command{
		Use:   "metrics [APP]",
		Short: "Show the metrics of all replicas, as Prometheus reads them",
		Long: "Show the metrics of all replicas, as Prometheus reads them: those of calls between\n" +
			"components, and the application's own. The live page serves the same under /metrics.",
		Example: "  divisi metrics\n  divisi metrics shop -o json",
		RunE: func(cmd *cobra.Command, args []string) error {
			app, err := subject.Pick(cmd.Context(), args)
			if err != nil {
				return err
			}

			if app.Status.IsProgram() {
				return console.Failure("see how it is: divisi status "+app.Status.App,
					"%s is no application of components: it has no metrics", app.Status.App)
			}
			subject.TellMoment(c.Console, app)
			return console.Within(cmd.Context(), timeout, func(ctx context.Context) error {
				all, err := app.Metrics(ctx)
				if err != nil {
					return err
				}
				if done, err := c.JSON(all); done {
					return err
				}
				return telemetry.WritePrometheus(c.Out, app.Status.App, all)
			})
		},
	})

	console.TimeoutFlag(cmd, &timeout, 10*time.Second)
	return cmd
}
