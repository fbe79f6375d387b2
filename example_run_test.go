package divisi_test

import (
	"context"
	"fmt"

	"github.com/divisi-go/divisi"
)

type worker struct {
	divisi.Implements[divisi.Main]
}

// A program that has no end of its own ends with its context, or by a signal.
func ExampleRun() {
	ctx, cancel := context.WithCancel(context.Background())
	err := divisi.Run(ctx, func(ctx context.Context, w *worker) error {
		fmt.Println("working")
		cancel() // whoever made the context says that it is time
		<-ctx.Done()
		return ctx.Err()
	})
	fmt.Println("Run:", err)
	// Output:
	// working
	// Run: <nil>
}
