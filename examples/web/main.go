// Web serves a page, and is restarted without a lost request. docs/serve.md shows how little that takes.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"net/http"
	"os/signal"
	"syscall"

	"github.com/divisi-go/divisi/serve"
)

func main() {
	address := flag.String("address", "localhost:8080", "where to listen")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()

	http.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "Hello!") })
	server := &http.Server{}

	l, err := serve.Listener("web", *address)
	if err != nil {
		log.Fatal(err)
	}
	if err := serve.Run(ctx, serve.Server(l, server)); err != nil {
		log.Fatal(err)
	}
}
