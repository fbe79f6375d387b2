package divisi_test

import (
	"context"
	"fmt"
	"log"

	"github.com/divisi-go/divisi"
)

// Cache is implemented twice: the tags tell which is which.
type Cache interface {
	Where(ctx context.Context) (string, error)
}

type memoryCache struct {
	divisi.Implements[Cache] `divisi:"memory"`
}

func (*memoryCache) Where(context.Context) (string, error) { return "in memory", nil }

type diskCache struct {
	divisi.Implements[Cache] `divisi:"disk"`
}

func (*diskCache) Where(context.Context) (string, error) { return "on disk", nil }

// caches refers to both.
type caches struct {
	divisi.Implements[divisi.Main]
	fast  divisi.Ref[Cache] `divisi:"memory"`
	large divisi.Ref[Cache] `divisi:"disk"`
}

// Two implementations of one interface.
func ExampleRef() {
	err := divisi.Run(context.Background(), func(ctx context.Context, c *caches) error {
		for _, cache := range []Cache{c.fast.Get(), c.large.Get()} {
			where, err := cache.Where(ctx)
			if err != nil {
				return err
			}
			fmt.Println(where)
		}
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	// Output:
	// in memory
	// on disk
}
