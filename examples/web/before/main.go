// Before serves a page as most programs do. docs/serve.md shows what makes it lossless.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"os/signal"
	"syscall"
)

func main() {
	address := flag.String("address", "localhost:8080", "where to listen")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()

	http.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "Hello!") })
	server := &http.Server{}
	context.AfterFunc(ctx, func() { server.Shutdown(context.Background()) })

	l, err := net.Listen("tcp", *address)
	if err != nil {
		log.Fatal(err)
	}
	if err := server.Serve(l); err != http.ErrServerClosed {
		log.Fatal(err)
	}
}
