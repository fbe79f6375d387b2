// Flood is an application that logs without a pause, and that refers to a component which a deployer
// may leave out. The first entry says where its page is. The page says how many entries there have
// been, itself included; at /quiet the flood is over.
package main

import (
	"context"
	"fmt"
	"log"
	"net"
	"net/http"
	"sync/atomic"

	"github.com/divisi-go/divisi"
)

// Nothing is the component that is left out.
type Nothing interface {
	Do(context.Context) error
}

type nothing struct{ divisi.Implements[Nothing] }

func (*nothing) Do(context.Context) error { return nil }

type app struct {
	divisi.Implements[divisi.Main]
	nothing divisi.Ref[Nothing]
}

func serve(ctx context.Context, a *app) error {
	// A listener of the deployer would wait for the deployer's answer.
	l, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		return err
	}
	logger := a.Logger(ctx)
	logger.Info("listening", "addr", l.Addr())
	var entries atomic.Int64
	entries.Add(1)
	var quiet atomic.Bool
	go a.nothing.Get().Do(ctx) // waits until the deployer says where that is
	go func() {
		for !quiet.Load() {
			logger.Info("flood", "n", entries.Add(1))
		}
	}()
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/quiet" {
			quiet.Store(true)
		}
		logger.Info("page", "path", r.URL.Path)
		fmt.Fprintln(w, entries.Add(1))
	})
	return http.Serve(l, nil)
}

func main() {
	if err := divisi.Run(context.Background(), serve); err != nil {
		log.Fatal(err)
	}
}
