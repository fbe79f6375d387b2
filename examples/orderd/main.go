// Orderd is the system of an order desk, which is one program. Running it starts what there is to start:
//
//	go run . -listen localhost:7000
//	go run . -listen :7000 -on anne@server1,anne@server2
//
// Running it again, in whatever version, finds what runs, and replaces what has changed. The other machines need an
// SSH server, and nothing of this. The packages
// beside it are the component libraries, and its test is a test of the system.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/divisi-go/divisi/examples/orderd/orderd"
	"github.com/divisi-go/divisi/examples/orderd/positiond"
	"github.com/divisi-go/divisi/ssh"
	"github.com/divisi-go/divisi/system"
)

var (
	listen = flag.String("listen", "localhost:7000", "where to take orders")
	on     = flag.String("on", "", "the machines to take orders on, as SSH destinations with commas between them, if not this one")
	data   = flag.String("data", "", "the folder to keep data in, if not that of the program")
)

func main() {
	flag.Parse()
	system.Run("orderd", everywhere)
}

// everywhere deploys to this machine, or to those that were named.
func everywhere(ctx context.Context, n *system.Nursery, here *system.Host) error {
	if *on == "" {
		return deploy(ctx, n, here)
	}
	var starts []func(context.Context) error
	for to := range strings.SplitSeq(*on, ",") {
		starts = append(starts, func(ctx context.Context) error { return elsewhere(ctx, n, to) })
	}
	return system.Together(ctx, starts...)
}

// elsewhere deploys to another machine, which is called by its name without user and port.
func elsewhere(ctx context.Context, n *system.Nursery, to string) error {
	name := to[strings.LastIndex(to, "@")+1:]
	name, _, _ = strings.Cut(name, ":")
	m, err := ssh.Open(ctx, to, ssh.Options{Name: name})
	if err != nil {
		return err
	}
	h, err := system.Open(ctx, n, m)
	if err != nil {
		return err
	}
	_, err = system.Start(ctx, n, system.Scope{Name: name}, func(ctx context.Context, n *system.Nursery) (bool, error) {
		return true, deploy(ctx, n, h)
	})
	return err
}

// deploy starts positiond, and orderd, which needs it.
func deploy(ctx context.Context, n *system.Nursery, h *system.Host) error {
	dir, err := h.Dir(filepath.Join(*data, "positiond"))
	if err != nil {
		return err
	}
	positions, err := positiond.Start(ctx, n, h, dir)
	if err != nil {
		return err
	}

	if dir, err = h.Dir(filepath.Join(*data, "orders")); err != nil {
		return err
	}
	db, err := orderd.RecoverDatabase(ctx, n, h, dir)
	if errors.Is(err, fs.ErrNotExist) {
		db, err = orderd.MakeDatabase(ctx, n, h, dir)
	}
	if err != nil {
		return err
	}
	l, err := listener(ctx, n, h)
	if err != nil {
		return err
	}
	o, err := orderd.Start(ctx, n, h, positions, l, db)
	if err == nil {
		fmt.Println("Orders are taken at", o.Addr)
	}
	return err
}

// listener opens the listener for orders. If its port is taken, the operator may say another one.
func listener(ctx context.Context, n *system.Nursery, h *system.Host) (*system.Listener, error) {
	address := *listen
	for {
		l, err := h.Listen(ctx, n, "orders", address)
		if !errors.Is(err, syscall.EADDRINUSE) {
			return l, err
		}
		address, err = system.Ask(ctx, n, system.Question[string]{
			Key: "listen", Text: fmt.Sprintf("%v; where else are orders to be taken?", err), Default: address,
		})
		if err != nil {
			return nil, err
		}
	}
}
