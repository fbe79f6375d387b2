package divisi_test

import (
	"context"
	"fmt"
	"log"

	"github.com/divisi-go/divisi"
)

// Greeter is a component: what others call.
type Greeter interface {
	Greet(ctx context.Context, name string) (string, error)
}

// greeter implements it.
type greeter struct {
	divisi.Implements[Greeter]
}

func (*greeter) Greet(_ context.Context, name string) (string, error) {
	return "Hello, " + name, nil
}

// app is the main component.
type app struct {
	divisi.Implements[divisi.Main]
	greeter divisi.Ref[Greeter] // in this process or in another: the deployment decides
}

// A program with two components. This is its main function.
func Example() {
	err := divisi.Run(context.Background(), func(ctx context.Context, a *app) error {
		text, err := a.greeter.Get().Greet(ctx, "gopher")
		fmt.Println(text)
		return err
	})
	if err != nil {
		log.Fatal(err)
	}
	// Output: Hello, gopher
}
