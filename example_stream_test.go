package divisi_test

import (
	"context"
	"fmt"
	"iter"
	"log"

	"github.com/divisi-go/divisi"
)

// Countdown has a method that returns a stream.
type Countdown interface {
	From(ctx context.Context, n int) iter.Seq2[int, error]
}

type countdown struct {
	divisi.Implements[Countdown]
}

// From yields values as they are wanted: a reader that is slow, or in another process, holds it up.
func (*countdown) From(_ context.Context, n int) iter.Seq2[int, error] {
	return func(yield func(int, error) bool) {
		for ; n > 0; n-- {
			if !yield(n, nil) {
				return // the reader has left its loop, or is gone
			}
		}
	}
}

type rocket struct {
	divisi.Implements[divisi.Main]
	countdown divisi.Ref[Countdown]
}

// A stream of values. An error, which may be that of a connection, is the last of them.
func Example_stream() {
	err := divisi.Run(context.Background(), func(ctx context.Context, r *rocket) error {
		for n, err := range r.countdown.Get().From(ctx, 1000) {
			if err != nil {
				return err
			}
			fmt.Println(n)
			if n == 998 {
				break
			}
		}
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	// Output:
	// 1000
	// 999
	// 998
}
