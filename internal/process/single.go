package process

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/divisi-go/divisi/codegen"
	"github.com/divisi-go/divisi/internal/config"
	"github.com/divisi-go/divisi/internal/inherit"
	"github.com/divisi-go/divisi/internal/interrupt"
	"github.com/divisi-go/divisi/internal/logger"
	"github.com/divisi-go/divisi/internal/notify"
	"github.com/divisi-go/divisi/internal/weavelet"
)

// runSingle runs all of the application in this process.
func runSingle(ctx context.Context, app weavelet.Application, main Main, files inherit.Files) error {
	ctx, stop := interrupt.Context(ctx, errStop, nil)
	defer stop()
	component, err := main.component(app.Registry)
	if err != nil {
		return err
	}
	conf, err := loadConfig(app.Registry)
	if err != nil {
		return err
	}
	o := weavelet.LocalOptions{
		Sockets: files.Sockets,
		Config:  conf,
		Logger:  slog.New(logger.NewConsole(os.Stderr)),
	}
	bridge := bridgeOf(ctx)
	if name := tracingWanted(); name != "" && bridge == nil {
		o.Logger.Warn("nothing exports spans: import github.com/divisi-go/divisi/opentelemetry, "+
			"and give divisi.Run the context that opentelemetry.Context returns", "set", name)
	}
	self := weavelet.Alone(cmp.Or(conf.Name, filepath.Base(os.Args[0])))
	export, err := bridge.start(ctx, resource(self), nil)
	if err != nil {
		return err
	}
	defer bridge.shutdown(ctx)
	o.Trace = bridge.options(resource(self), export)
	w := weavelet.NewLocal(app, self, o)
	defer tell(ctx, func(ctx context.Context) { w.Tracer().Serve(ctx) }, notify.Watchdog)()
	defer context.AfterFunc(ctx, func() { notify.Send(notify.Stopping) })()

	start := func(ctx context.Context, components ...string) error {
		err := w.Start(ctx, components...)
		if err == nil {
			if err := notify.Send(notify.Ready); err != nil {
				o.Logger.Warn("the supervisor does not know that the application is ready", "err", err)
			}
		}
		return err
	}
	return main.run(ctx, w, component, start, nil)
}

// tracingWanted returns the name of the environment variable, of those that OpenTelemetry knows,
// by which somebody asks for spans; "" if nobody does.
func tracingWanted() string {
	if os.Getenv("OTEL_SDK_DISABLED") == "true" || os.Getenv("OTEL_TRACES_EXPORTER") == "none" {
		return ""
	}
	for _, name := range []string{
		"OTEL_TRACES_EXPORTER", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT",
	} {
		if os.Getenv(name) != "" {
			return name
		}
	}
	return ""
}

// loadConfig reads the file that the environment names.
func loadConfig(r *codegen.Registry) (config.App, error) {
	file := cmp.Or(os.Getenv("DIVISI_CONFIG"), os.Getenv("SERVICEWEAVER_CONFIG"))
	if file == "" {
		return config.App{}, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return config.App{}, fmt.Errorf("cannot read the configuration: %w", err)
	}
	var names []string
	for _, c := range r.Components {
		names = append(names, c.Info.Name)
	}
	return config.ParseSingle(file, string(text), config.Options{Components: names})
}
