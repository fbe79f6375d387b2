// Divisi-store is the store of keys, and what one does with it from a terminal: see "divisi-store help".
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/divisi-go/divisi/store/internal/command"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := command.Run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	if err == nil {
		return
	}
	if errors.Is(err, context.Canceled) || status.Code(err) == codes.Canceled {
		os.Exit(130) // as a shell says of who was interrupted
	}
	fmt.Fprintf(os.Stderr, "divisi store: error: %v\n", err)
	if errors.Is(err, command.ErrUsage) {
		os.Exit(2)
	}
	os.Exit(1)
}
