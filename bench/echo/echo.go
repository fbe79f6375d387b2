// Package echo is the component that benchmarks call: it gives back what it is given.
package echo

import (
	"context"

	"github.com/divisi-go/divisi"
	"github.com/divisi-go/divisi/bench/load"
)

// Echo gives back what it is given.
type Echo interface {
	Null(context.Context) error
	Number(context.Context, int, int) (int, error)
	Text(context.Context, string) (string, error)
	Numbers(context.Context, []int) ([]int, error)
	Items(context.Context, []load.Item) ([]load.Item, error)
	Bytes(context.Context, []byte) ([]byte, error)
	Message(context.Context, load.Message) (load.Message, error)

	//divisi:shared
	SharedBytes(context.Context, []byte) ([]byte, error)
	//divisi:shared
	SharedMessage(context.Context, load.Message) (load.Message, error)
}

type echo struct{ divisi.Implements[Echo] }

func (*echo) Null(context.Context) error                                            { return nil }
func (*echo) Number(_ context.Context, a, b int) (int, error)                       { return a + b, nil }
func (*echo) Text(_ context.Context, s string) (string, error)                      { return s, nil }
func (*echo) Numbers(_ context.Context, n []int) ([]int, error)                     { return n, nil }
func (*echo) Items(_ context.Context, items []load.Item) ([]load.Item, error)       { return items, nil }
func (*echo) Bytes(_ context.Context, b []byte) ([]byte, error)                     { return b, nil }
func (*echo) Message(_ context.Context, m load.Message) (load.Message, error)       { return m, nil }
func (*echo) SharedBytes(_ context.Context, b []byte) ([]byte, error)               { return b, nil }
func (*echo) SharedMessage(_ context.Context, m load.Message) (load.Message, error) { return m, nil }

// Neighbour is a component that refers to an Echo in both ways.
type Neighbour struct {
	divisi.Implements[neighbour]
	Ref    divisi.Ref[Echo]
	Direct divisi.Direct[Echo]
}

type neighbour interface{ Live(context.Context) error }

// Live does nothing.
func (*Neighbour) Live(context.Context) error { return nil }
