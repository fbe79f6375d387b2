// The program that the test of the live page looks at and operates.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/divisi-go/divisi/system"
)

func main() {
	err := system.Program{Name: "orderd", Grace: time.Hour}.Run(context.Background(), deploy)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// talk is a server that says what it is about every now and then.
func talk(name string) system.Spec {
	script := "echo " + name + " begins; while :; do sleep 1; echo " + name + " goes on; done"
	return system.Spec{Name: name, Program: "sh", Args: []any{"-c", script}}
}

// deploy starts servers, and asks before it starts the last ones. With SUBJECT_FORMER it starts one more, with SUBJECT_FAR
// one on another host, and while the file SUBJECT_BROKEN is there, one of them fails.
func deploy(ctx context.Context, n *system.Nursery, h *system.Host) error {
	if err := offer(n); err != nil {
		return err
	}
	if os.Getenv("SUBJECT_FORMER") != "" {
		if _, err := h.Ensure(ctx, n, talk("former")); err != nil {
			return err
		}
	}
	if _, err := h.Ensure(ctx, n, talk("positiond")); err != nil {
		return err
	}
	if dir := os.Getenv("SUBJECT_FAR"); dir != "" {
		if err := startFar(ctx, n, dir); err != nil {
			return err
		}
	}

	port, err := system.Ask(ctx, n, system.Question[int]{
		Key: "port", Text: "listen tcp 127.0.0.1:80: address already in use; where else are orders to be taken?", Default: 80,
		Check: func(v int) error {
			if v < 1024 {
				return errors.New("use a port from 1024 on")
			}
			return nil
		},
	})
	if err != nil {
		return err
	}
	if err := n.Verb("port", func() int { return port }); err != nil {
		return err
	}
	scope := system.Scope{Name: "eu", Policy: frail}
	_, err = system.Start(ctx, n, scope, func(ctx context.Context, n *system.Nursery) (*system.Proc, error) {
		if _, err := h.Ensure(ctx, n, talk("orders")); err != nil {
			return nil, err
		}
		return h.Ensure(ctx, n, system.Spec{
			Name: "reports", Program: "sh", Policy: frail,
			Args: []any{"-c", "test ! -e " + os.Getenv("SUBJECT_BROKEN") + " || { echo no reports; exit 1; }; exec sleep 1000000"},
		})
	})
	return err
}

// frail is the policy of what fails at once.
var frail = system.Policy{Intensity: 1, Backoff: 10 * time.Millisecond, MaxBackoff: time.Hour}

// offer has an operator set a value, and call functions.
func offer(n *system.Nursery) error {
	_, err := system.Tune(n, "max-orders", 20000, func(v int) error {
		if v > 1000000 {
			return errors.New("at most 1000000")
		}
		return nil
	})
	return errors.Join(err,
		n.Verb("rebalance", func(shard int, more ...int) string { return fmt.Sprint("shards ", append([]int{shard}, more...)) }),
		n.Verb("compact", func() error { return errors.New("the database is in use") }),
	)
}
