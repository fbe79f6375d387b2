package divisi_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/divisi-go/divisi"
)

// ErrClosed stays the same error on its way between processes, as it is the value of a package's
// variable.
var ErrClosed = errors.New("the shop is closed")

// SoldOut keeps its type and its fields.
type SoldOut struct {
	Item string
	Left int
}

func (e *SoldOut) Error() string { return fmt.Sprintf("only %d of %s left", e.Left, e.Item) }

// Shop is a component with methods that fail.
type Shop interface {
	Buy(ctx context.Context, item string, n int) error
}

type shop struct {
	divisi.Implements[Shop]
}

func (*shop) Buy(_ context.Context, item string, n int) error {
	switch {
	case item == "":
		return fmt.Errorf("cannot buy nothing: %w", ErrClosed)
	case n > 3:
		return &SoldOut{Item: item, Left: 3}
	case n < 1:
		panic("less than one")
	}
	return nil
}

type customer struct {
	divisi.Implements[divisi.Main]
	shop divisi.Ref[Shop]
}

// Errors mean the same wherever the called component is.
func Example_errors() {
	err := divisi.Run(context.Background(), func(ctx context.Context, c *customer) error {
		buy := func(item string, n int) {
			var soldOut *SoldOut
			switch err := c.shop.Get().Buy(ctx, item, n); {
			case errors.Is(err, ErrClosed):
				fmt.Println("closed:", err)
			case errors.As(err, &soldOut):
				fmt.Println("left:", soldOut.Left)
			case errors.Is(err, divisi.ErrPanic):
				fmt.Println("the method panicked")
			case errors.Is(err, divisi.RemoteCallError):
				fmt.Println("nobody knows whether it was bought")
			default:
				fmt.Println("bought:", err)
			}
		}
		buy("apple", 1)
		buy("apple", 5)
		buy("", 1)
		buy("apple", 0)
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	// Output:
	// bought: <nil>
	// left: 3
	// closed: cannot buy nothing: the shop is closed
	// the method panicked
}
