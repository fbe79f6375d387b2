package weavelet

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/divisi-go/divisi/codegen"
	"github.com/divisi-go/divisi/internal/config"
)

// runSingle runs all of the application in this process.
func runSingle(ctx context.Context, app Application) error {
	ctx, stop := withSignals(ctx)
	defer stop()
	main, ok := app.Registry.FindImpl(app.MainImpl)
	if !ok {
		return fmt.Errorf("%v is not registered: run divisi generate", app.MainImpl)
	}
	conf, err := loadConfig(app.Registry)
	if err != nil {
		return err
	}
	w := NewLocal(app, LocalOptions{
		Name:   cmp.Or(conf.Name, filepath.Base(os.Args[0])),
		Config: conf,
		Logger: slog.New(slog.NewTextHandler(os.Stderr, nil)),
	})
	if err := w.Start(ctx, main.Info.Name); err != nil {
		w.end(ctx)
		return err
	}
	p, _ := w.lookup(main.Info.Name)
	return w.body(ctx, p)
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
	return config.Parse(file, string(text), config.Options{Components: names})
}
