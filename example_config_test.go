package divisi_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/divisi-go/divisi"
)

// Basket is a component with a configuration.
type Basket interface {
	Room(ctx context.Context) (int, error)
}

// basketConfig is the component's section of the configuration file.
type basketConfig struct {
	MaxItems int
}

// Validate is called when the section has been read; its error says where that is.
func (c *basketConfig) Validate() error {
	if c.MaxItems < 1 {
		return fmt.Errorf("MaxItems is %d: it must be at least 1", c.MaxItems)
	}
	return nil
}

type basket struct {
	divisi.Implements[Basket]
	divisi.WithConfig[basketConfig]
}

func (b *basket) Room(context.Context) (int, error) { return b.Config().MaxItems, nil }

type shopper struct {
	divisi.Implements[divisi.Main]
	basket divisi.Ref[Basket]
}

// The section's name is the import path of the component's package and the name of its interface.
const basketTOML = `
["github.com/divisi-go/divisi_test/Basket"]
MaxItems = 20
`

func ExampleWithConfig() {
	file := filepath.Join(os.TempDir(), fmt.Sprintf("basket-%d.toml", os.Getpid()))
	if err := os.WriteFile(file, []byte(basketTOML), 0o600); err != nil {
		log.Fatal(err)
	}
	defer os.Remove(file)
	os.Setenv("DIVISI_CONFIG", file) // outside of tests: DIVISI_CONFIG=shop.toml go run .
	defer os.Unsetenv("DIVISI_CONFIG")

	err := divisi.Run(context.Background(), func(ctx context.Context, s *shopper) error {
		n, err := s.basket.Get().Room(ctx)
		fmt.Println("room for", n)
		return err
	})
	fmt.Println("Run:", err)
	// Output:
	// room for 20
	// Run: <nil>
}
