// Postgres is a system of a real Postgres and a service that uses it, as one program:
//
//	go run . -edition 1
//	go run . -edition 2 -setting max_connections=50
//
// The second one replaces what the first one has started, and nobody who visits the page notices.
package main

import (
	"context"
	"flag"
	"fmt"

	"github.com/divisi-go/divisi/system"
)

var (
	listen  = flag.String("listen", "localhost:8080", "where the page is")
	data    = flag.String("data", "postgres", "the folder of Postgres")
	edition = flag.String("edition", "1", "of the page")
	setting = flag.String("setting", "max_connections=100", "of Postgres")
)

func main() {
	flag.Parse()
	system.Run("visits", deploy)
}

func deploy(ctx context.Context, n *system.Nursery, h *system.Host) error {
	dir, err := h.Dir(*data)
	if err != nil {
		return err
	}
	db, err := StartPostgres(ctx, n, h, dir, *setting)
	if err != nil {
		return err
	}
	l, err := h.Listen(ctx, n, "page", *listen)
	if err != nil {
		return err
	}
	page, err := StartVisits(ctx, n, h, db, l, *edition)
	if err == nil {
		fmt.Println("The page is at", page.URL)
	}
	return err
}
