package divisi_test

import (
	"context"
	"fmt"
	"log"
	"sync"

	"github.com/divisi-go/divisi"
)

// Counter counts by name.
type Counter interface {
	Count(ctx context.Context, name string) (int, error)
	Names(ctx context.Context) (int, error)
}

// byName routes: all calls of Count for one name go to the same replica. There is no method Names,
// so those calls go to any replica.
type byName struct{}

func (byName) Count(_ context.Context, name string) string { return name }

type counter struct {
	divisi.Implements[Counter]
	divisi.WithRouter[byName]

	mu     sync.Mutex // guards counts
	counts map[string]int
}

func (c *counter) Init(context.Context) error {
	c.counts = map[string]int{}
	return nil
}

func (c *counter) Count(_ context.Context, name string) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.counts[name]++
	return c.counts[name], nil
}

func (c *counter) Names(context.Context) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.counts), nil
}

type visitors struct {
	divisi.Implements[divisi.Main]
	counter divisi.Ref[Counter]
}

func ExampleWithRouter() {
	err := divisi.Run(context.Background(), func(ctx context.Context, v *visitors) error {
		for _, name := range []string{"ann", "bob", "ann"} {
			n, err := v.counter.Get().Count(ctx, name)
			if err != nil {
				return err
			}
			fmt.Println(name, n)
		}
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	// Output:
	// ann 1
	// bob 1
	// ann 2
}
