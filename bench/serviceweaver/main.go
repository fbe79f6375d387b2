// Serviceweaver is the part of the comparison that is made with Service Weaver: a program of a module of its
// own, for what it requires would change what the others get. Its messages are those of package load again,
// for they have to embed a type of Service Weaver.
package main

import (
	"context"
	"os"
	"strings"

	"github.com/ServiceWeaver/weaver"

	"github.com/divisi-go/divisi/bench/load"
)

//go:generate go run github.com/ServiceWeaver/weaver/cmd/weaver generate .

// Message is load.Message.
type Message struct {
	weaver.AutoMarshal
	ID, Created, Changed       int64
	Kind, State                int32
	Weight, Volume             float64
	Paid, Sent                 bool
	Name, Email, Phone, Remark string
	Tags                       []string
	Counts                     []int64
	Prices                     []float64
	Labels                     map[string]string
	Address                    Address
	Items                      []Item
	Picture                    []byte
}

// Address is load.Address.
type Address struct {
	weaver.AutoMarshal
	Street, City string
	Number       int32
}

// Item is load.Item.
type Item struct {
	weaver.AutoMarshal
	Name  string
	Price int64
}

func newMessage() Message {
	m := load.NewMessage()
	own := Message{
		ID: m.ID, Created: m.Created, Changed: m.Changed, Kind: m.Kind, State: m.State,
		Weight: m.Weight, Volume: m.Volume, Paid: m.Paid, Sent: m.Sent,
		Name: m.Name, Email: m.Email, Phone: m.Phone, Remark: m.Remark,
		Tags: m.Tags, Counts: m.Counts, Prices: m.Prices, Labels: m.Labels, Picture: m.Picture,
		Address: Address{Street: m.Address.Street, City: m.Address.City, Number: m.Address.Number},
	}
	for _, item := range m.Items {
		own.Items = append(own.Items, Item{Name: item.Name, Price: item.Price})
	}
	return own
}

// Echo gives back what it is given.
type Echo interface {
	Null(context.Context) error
	Message(context.Context, Message) (Message, error)
	Bytes(context.Context, []byte) ([]byte, error)
}

type echoes struct{ weaver.Implements[Echo] }

func (echoes) Null(context.Context) error                            { return nil }
func (echoes) Message(_ context.Context, m Message) (Message, error) { return m, nil }
func (echoes) Bytes(_ context.Context, b []byte) ([]byte, error)     { return b, nil }

// app calls.
type app struct {
	weaver.Implements[weaver.Main]
	echo weaver.Ref[Echo]
}

func (a *app) caller() (load.Caller, error) {
	m := newMessage()
	blob := make([]byte, load.Huge.Size())
	return func(ctx context.Context, p load.Payload) (err error) {
		switch p {
		case load.Nothing:
			return a.echo.Get().Null(ctx)
		case load.Struct:
			_, err = a.echo.Get().Message(ctx, m)
		default:
			_, err = a.echo.Get().Bytes(ctx, blob[:p.Size()])
		}
		return err
	}, nil
}

func main() {
	role := os.Getenv(load.RoleVariable)
	name, side, _ := strings.Cut(role, "/")
	switch side {
	case "deployer":
		load.Exit(deploy(context.Background(), name))
	case "server":
		go func() { load.Exit(load.Obey(role, nil)) }()
	}
	load.Exit(weaver.Run(context.Background(), func(_ context.Context, a *app) error { return load.Obey(role, a.caller) }))
}
