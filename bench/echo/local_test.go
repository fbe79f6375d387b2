package echo_test

import (
	"context"
	"maps"
	"slices"
	"testing"

	"github.com/divisi-go/divisi/bench/echo"
	"github.com/divisi-go/divisi/bench/load"
	"github.com/divisi-go/divisi/divisitest"
)

// BenchmarkLocal compares calls that stay in a process with plain calls of an interface, and with plain
// calls whose arguments and results are copied by hand.
func BenchmarkLocal(b *testing.B) {
	m := load.NewMessage()
	short, long := make([]byte, 1<<10), make([]byte, 64<<10)
	numbers, items := make([]int, 100), make([]load.Item, 100)
	ctx := b.Context()
	calls := []struct {
		name string
		call func(echo.Echo)
	}{
		{"nothing", func(e echo.Echo) { e.Null(ctx) }},
		{"numbers", func(e echo.Echo) { e.Number(ctx, 1, 2) }},
		{"text", func(e echo.Echo) { e.Text(ctx, "a text") }},
		{"1 KB", func(e echo.Echo) { e.Bytes(ctx, short) }},
		{"64 KB", func(e echo.Echo) { e.Bytes(ctx, long) }},
		{"100 numbers", func(e echo.Echo) { e.Numbers(ctx, numbers) }},
		{"100 structs", func(e echo.Echo) { e.Items(ctx, items) }},
		{"message", func(e echo.Echo) { e.Message(ctx, m) }},
		{"64 KB, shared", func(e echo.Echo) { e.SharedBytes(ctx, long) }},
		{"message, shared", func(e echo.Echo) { e.SharedMessage(ctx, m) }},
	}
	divisitest.Local.Bench(b, func(b *testing.B, n *echo.Neighbour) {
		plain := n.Direct.Get() // the implementation itself
		hand := echo.Echo(byHand{plain})
		ways := []struct {
			name string
			get  func() echo.Echo
		}{
			{"plain", func() echo.Echo { return plain }},
			{"by hand", func() echo.Echo { return hand }},
			{"Direct", func() echo.Echo { return n.Direct.Get() }},
			{"Ref", func() echo.Echo { return n.Ref.Get() }},
		}
		for _, c := range calls {
			for _, way := range ways {
				b.Run(c.name+"/"+way.name, func(b *testing.B) {
					b.ReportAllocs()
					for b.Loop() {
						c.call(way.get())
					}
				})
			}
		}
	})
}

// byHand copies what goes in and out.
type byHand struct{ echo.Echo }

func (e byHand) Bytes(ctx context.Context, b []byte) ([]byte, error) {
	b, err := e.Echo.Bytes(ctx, slices.Clone(b))
	return slices.Clone(b), err
}

func (e byHand) Numbers(ctx context.Context, n []int) ([]int, error) {
	n, err := e.Echo.Numbers(ctx, slices.Clone(n))
	return slices.Clone(n), err
}

func (e byHand) Items(ctx context.Context, items []load.Item) ([]load.Item, error) {
	items, err := e.Echo.Items(ctx, slices.Clone(items))
	return slices.Clone(items), err
}

func (e byHand) Message(ctx context.Context, m load.Message) (load.Message, error) {
	m, err := e.Echo.Message(ctx, clone(m))
	return clone(m), err
}

func clone(m load.Message) load.Message {
	m.Tags, m.Labels, m.Items = slices.Clone(m.Tags), maps.Clone(m.Labels), slices.Clone(m.Items)
	m.Counts, m.Prices, m.Picture = slices.Clone(m.Counts), slices.Clone(m.Prices), slices.Clone(m.Picture)
	return m
}
