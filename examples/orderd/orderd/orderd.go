// Package orderd is the component library of orderd, a service that accepts and rejects orders.
//
// A client sends one line per order: an id of its own, an instrument, and a quantity, negative to sell, as
// in "anne-1 17 -250". The answer is "anne-1 accepted", or "anne-1 rejected: " and why. Who hears no
// answer sends the order again, with the same id, and it is executed once.
package orderd

import (
	"context"
	"errors"
	"io/fs"
	"time"

	"github.com/divisi-go/divisi/examples/orderd/positiond"
	"github.com/divisi-go/divisi/system"
)

// Orderd is an orderd that runs.
type Orderd struct {
	Addr string // where it takes orders
	Proc *system.Proc
}

// Start starts an orderd that takes orders at a listener, stores those that it accepts in a database, and
// keeps within limits what positiond has of each instrument.
func Start(ctx context.Context, n *system.Nursery, h *system.Host, positiond *positiond.Positiond, l *system.Listener, db *Database) (*Orderd, error) {
	positions, err := positiond.Dir.On(h)
	if err != nil {
		return nil, err
	}
	file, err := db.File.On(h)
	if err != nil {
		return nil, err
	}

	proc, err := h.Ensure(ctx, n, system.Spec{
		Name: "orderd", Args: []string{"orderd", l.Name(), positions, file}, Listeners: []*system.Listener{l},
		Ready: "notify", Alone: true, Policy: system.Policy{Intensity: 100, MaxBackoff: time.Second},
	})
	return &Orderd{l.Addr(), proc}, err
}

// Database is a SQLite database of orders.
type Database struct {
	File system.File
}

// MakeDatabase makes a database in a folder that has none.
func MakeDatabase(ctx context.Context, n *system.Nursery, h *system.Host, dir system.Dir) (*Database, error) {
	return database(ctx, n, h, dir, "make-database")
}

// RecoverDatabase takes the database that is in a folder, and examines it. Without one, the error is
// [fs.ErrNotExist].
func RecoverDatabase(ctx context.Context, n *system.Nursery, h *system.Host, dir system.Dir) (*Database, error) {
	return database(ctx, n, h, dir, "recover-database")
}

func database(ctx context.Context, n *system.Nursery, h *system.Host, dir system.Dir, how string) (*Database, error) {
	db := &Database{dir.File("orders.db")}
	path, err := db.File.On(h)
	if err != nil {
		return nil, err
	}
	exit, err := h.Run(ctx, n, system.Spec{Name: how, Args: []string{how, path}})
	if exit.Code == exitMissing {
		err = errors.Join(err, fs.ErrNotExist)
	}
	return db, err
}
