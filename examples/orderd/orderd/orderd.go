// Package orderd is the component library of orderd, a service that accepts and rejects orders.
//
// A client sends one line per order: an id of its own, an instrument, and a quantity, negative to sell, as
// in "anne-1 17 -250". The answer is "anne-1 accepted", or "anne-1 rejected: " and why. Who hears no
// answer sends the order again, with the same id, and it is executed once.
//
// An orderd that is to end says "goodbye", after its last answer, and closes the connection. What was sent since
// is sent again, to the orderd that follows.
package orderd

import (
	"context"
	"time"

	"github.com/divisi-go/divisi/examples/orderd/positiond"
	"github.com/divisi-go/divisi/system"
)

// Goodbye is the last line that an orderd which is to end says to a client.
const Goodbye = "goodbye"

// Orderd is an orderd that runs.
type Orderd struct {
	Addr string // where it takes orders
	Proc *system.Proc
}

// Start starts an orderd that takes orders at a listener, stores those that it accepts in a database, and
// keeps within limits what positiond has of each instrument.
func Start(ctx context.Context, n *system.Nursery, h *system.Host, positiond *positiond.Positiond, l *system.Listener, db *Database) (*Orderd, error) {
	proc, err := h.Ensure(ctx, n, system.Spec{
		Name: "orderd", Program: program, Args: []any{l.Name(), positiond.Dir, db.File},
		Listeners: []*system.Listener{l}, Ready: "notify", Alone: true, Policy: system.Policy{Intensity: 100, MaxBackoff: time.Second},
	})
	return &Orderd{l.Addr(), proc}, err
}

// Database is a SQLite database of orders.
type Database struct {
	File system.File
}

// MakeDatabase makes a database in a folder that has none.
func MakeDatabase(ctx context.Context, n *system.Nursery, h *system.Host, dir system.Dir) (*Database, error) {
	db := &Database{dir.File(databaseName)}
	_, err := h.Run(ctx, n, system.Spec{Name: "make-database", Program: maker, Args: []any{db.File}})
	return db, err
}

// RecoverDatabase takes the database that is in a folder, and examines it. Without one, the error is
// [io/fs.ErrNotExist].
func RecoverDatabase(ctx context.Context, n *system.Nursery, h *system.Host, dir system.Dir) (*Database, error) {
	if _, err := dir.Stat(databaseName); err != nil {
		return nil, err
	}
	db := &Database{dir.File(databaseName)}
	_, err := h.Run(ctx, n, system.Spec{Name: "recover-database", Program: recoverer, Args: []any{db.File}})
	return db, err
}

const databaseName = "orders.db"
