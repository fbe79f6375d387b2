// Shop is an online store made of eleven components. "go run ." runs all of them in one process;
// "divisi run shop.toml" runs them as six groups of processes.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/divisi-go/divisi"
	"github.com/divisi-go/divisi/examples/shop/frontend"
)

func main() {
	if err := divisi.Run(context.Background(), frontend.Serve); err != nil {
		fmt.Fprintln(os.Stderr, "shop:", err)
		os.Exit(1)
	}
}
