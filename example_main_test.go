package divisi_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/divisi-go/divisi"
)

// Clock is a component that the main component uses.
type Clock interface {
	Year(ctx context.Context) (int, error)
}

type clock struct {
	divisi.Implements[Clock]
}

func (*clock) Year(context.Context) (int, error) {
	return time.Unix(0, 0).UTC().Year(), nil
}

// calendar is the main component: like any other, it may have references, listeners, a
// configuration and an Init. Only nobody can refer to it.
type calendar struct {
	divisi.Implements[divisi.Main]
	clock divisi.Ref[Clock]
	year  int
}

func (c *calendar) Init(ctx context.Context) (err error) {
	c.year, err = c.clock.Get().Year(ctx)
	return err
}

func ExampleMain() {
	err := divisi.Run(context.Background(), func(_ context.Context, c *calendar) error {
		fmt.Println("The year is", c.year)
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	// Output: The year is 1970
}
