// Chain is an application of ten components, each of which calls the next one: what is measured of a whole
// application. It runs as one process or as eleven, makes calls as it is told to, and is also the same chain
// of plain calls and of gRPC.
package main

import (
	"context"
	"os"
	"strings"

	"github.com/divisi-go/divisi"
	"github.com/divisi-go/divisi/bench/load"
)

func main() {
	role := os.Getenv(load.RoleVariable)
	system, side, _ := strings.Cut(role, "/")
	switch system {
	case load.Waiting:
		load.Exit(load.Obey(role, nil))
	case load.PlainChain:
		load.Exit(load.Obey(role, func() (load.Caller, error) { return often(plainChain()), nil }))
	case load.GRPCChain:
		load.Exit(playGRPC(role, side))
	}

	load.Exit(divisi.Run(context.Background(), func(_ context.Context, a *app) error {
		return load.Obey(role, func() (load.Caller, error) { return often(a.first.Get()), nil })
	}))
}

// plainChain returns as many plain links as there are components.
func plainChain() link {
	var l link
	for range load.ChainLength {
		l = plain{l}
	}
	return l
}

// often calls a chain, or so often that the clock can tell how long it takes.
func often(l link) load.Caller {
	return func(ctx context.Context, p load.Payload) error {
		times := 1
		if p == load.Often {
			times = load.OftenTimes
		}
		for range times {
			if err := l.Pass(ctx); err != nil {
				return err
			}
		}
		return nil
	}
}
