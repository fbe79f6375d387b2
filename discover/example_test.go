package discover_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/divisi-go/divisi/discover"
	"github.com/divisi-go/divisi/serve"
)

// A server follows the list of services that it may use, and shows it.
func Example() {
	type Service struct {
		URI string `json:"uri"`
	}
	services := &discover.Value[[]Service]{
		Name:    "services",
		Source:  discover.Consul{Key: "services-test"},
		Cache:   "services.cache",
		MaxAge:  3 * time.Minute,
		OnEvent: discover.Log(slog.Default()),
	}
	http.Handle("GET /services", services)

	l, err := serve.Listener("web", "localhost:8081")
	if err != nil {
		slog.Error("cannot listen", "error", err)
		os.Exit(1)
	}
	err = serve.Run(context.Background(), services, serve.Server(l, &http.Server{}))
	if err != nil {
		slog.Error("cannot go on", "error", err)
		os.Exit(1)
	}
}

// A value of a file is there at once, and follows it.
func ExampleValue() {
	folder, _ := os.MkdirTemp("", "example-")
	defer os.RemoveAll(folder)
	file := filepath.Join(folder, "limits.json")
	_ = os.WriteFile(file, []byte(`{"requests": 100}`), 0o600)

	type Limits struct {
		Requests int `json:"requests"`
	}
	limits := &discover.Value[Limits]{
		Source: discover.File(file),
		Validate: func(_, after Limits) error {
			if after.Requests < 1 {
				return fmt.Errorf("%d requests are not enough", after.Requests)
			}
			return nil
		},
	}

	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() { _ = limits.Serve(ctx) }()
	err := limits.Ready(ctx)
	fmt.Println(limits.Load().Value.Requests, err)
	// Output: 100 <nil>
}

// Any function that returns bytes is a source, such as the method Poll of configstate's pollers.
func ExamplePoller() {
	poll := func(context.Context) ([]byte, error) { return []byte(`["one", "two"]`), nil }
	names := &discover.Value[[]string]{Source: discover.Poller(poll)}

	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() { _ = names.Serve(ctx) }()
	for snapshot := range names.Watch(ctx) {
		fmt.Println(snapshot.Value)
		cancel()
	}
	// Output: [one two]
}
