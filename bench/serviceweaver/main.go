// Serviceweaver is the part of the comparison that is made with Service Weaver: a program of a module of its
// own, for what it requires would change what the others get. It takes part in bench/compare and in
// bench/overload. Its messages are those of package load again, for they have to embed a type of Service
// Weaver.
package main

import (
	"context"
	"os"
	"strconv"
	"time"

	"github.com/ServiceWeaver/weaver"

	"github.com/divisi-go/divisi/bench/load"
	"github.com/divisi-go/divisi/bench/overload/work"
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
	work weaver.Ref[Work]
}

func (a *app) caller() (load.Caller, error) {
	m := newMessage()
	return func(ctx context.Context, p load.Payload) (err error) {
		switch p {
		case load.Nothing:
			return a.echo.Get().Null(ctx)
		case load.Struct:
			_, err = a.echo.Get().Message(ctx, m)
		default:
			_, err = a.echo.Get().Bytes(ctx, p.Bytes())
		}
		return err
	}, nil
}

// Work does tasks, as the component of that name does in bench/overload.
type Work interface {
	Do(ctx context.Context, compute, wait time.Duration, body []byte, usage bool) ([]byte, error)
}

type worker struct{ weaver.Implements[Work] }

func (worker) Do(_ context.Context, compute, wait time.Duration, body []byte, usage bool) ([]byte, error) {
	return work.Do(work.Task{Compute: compute, Wait: wait, Body: body, Usage: usage}), nil
}

func (a *app) give(ctx context.Context, t work.Task) ([]byte, error) {
	return a.work.Get().Do(ctx, t.Compute, t.Wait, t.Body, t.Usage)
}

func main() {
	setting, dir, overload := work.Here()
	name, side := work.Role()
	if side == "deployer" {
		d := deployer{servers: []string{"server"}, env: func(side string) []string {
			return []string{load.RoleVariable + "=" + name + "/" + side}
		}}
		if overload {
			d.servers = nil
			d.env = func(side string) []string { return setting.Env(name, side, dir) }
			for i := range setting.Servers {
				d.servers = append(d.servers, strconv.Itoa(i))
			}
		}
		load.Exit(d.run(context.Background()))
	}

	role := os.Getenv(load.RoleVariable)
	if overload && side != "client" {
		go work.EndTogether()
	}
	if side == "server" {
		go func() { load.Exit(load.Obey(role, nil)) }()
	}
	load.Exit(weaver.Run(context.Background(), func(_ context.Context, a *app) error {
		if overload {
			return work.Obey(a.give)
		}
		return load.Obey(role, a.caller)
	}))
}
