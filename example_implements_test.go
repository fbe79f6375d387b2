package divisi_test

import (
	"context"
	"fmt"
	"log"
	"sync/atomic"

	"github.com/divisi-go/divisi"
)

// Store is a component with a life of its own.
type Store interface {
	Put(ctx context.Context, value string) error
}

type store struct {
	divisi.Implements[Store]
	puts atomic.Int64
}

func (s *store) Put(_ context.Context, _ string) error {
	s.puts.Add(1)
	return nil
}

// Init opens what the component needs. No call comes before it has returned.
func (s *store) Init(context.Context) error {
	fmt.Println("store: Init")
	return nil
}

// Ready is asked by deployers from time to time: an error keeps calls away.
func (s *store) Ready(context.Context) error { return nil }

// Drain finishes what takes long. Calls still come.
func (s *store) Drain(context.Context) error {
	fmt.Println("store: Drain")
	return nil
}

// Shutdown closes what Init has opened.
func (s *store) Shutdown(context.Context) error {
	fmt.Println("store: Shutdown, puts:", s.puts.Load())
	return nil
}

// writer uses the store: its Init comes after the store's, and its Shutdown before.
type writer struct {
	divisi.Implements[divisi.Main]
	store divisi.Ref[Store]
}

func (w *writer) Init(context.Context) error {
	fmt.Println("writer: Init")
	return nil
}

func (w *writer) Shutdown(ctx context.Context) error {
	fmt.Println("writer: Shutdown")
	return w.store.Get().Put(ctx, "the last value")
}

// The methods that a component may have beside those of its interface, and their order.
func ExampleImplements() {
	err := divisi.Run(context.Background(), func(ctx context.Context, w *writer) error {
		return w.store.Get().Put(ctx, "a value")
	})
	if err != nil {
		log.Fatal(err)
	}
	// Output:
	// store: Init
	// writer: Init
	// store: Drain
	// writer: Shutdown
	// store: Shutdown, puts: 2
}
