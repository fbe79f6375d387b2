package divisi_test

import (
	"context"
	"fmt"
	"log"

	"github.com/divisi-go/divisi"
	"github.com/divisi-go/divisi/metadata"
)

// Ledger is a component that many tenants use.
type Ledger interface {
	Owner(ctx context.Context) (string, error)
}

type ledger struct {
	divisi.Implements[Ledger]
}

func (*ledger) Owner(ctx context.Context) (string, error) {
	meta, _ := metadata.FromContext(ctx)
	return meta["tenant"], nil
}

type bank struct {
	divisi.Implements[divisi.Main]
	ledger divisi.Ref[Ledger]
}

// What a caller puts into its context is in the context of the method that it calls.
func Example_metadata() {
	err := divisi.Run(context.Background(), func(ctx context.Context, b *bank) error {
		ctx = metadata.NewContext(ctx, map[string]string{"tenant": "acme"})
		owner, err := b.ledger.Get().Owner(ctx)
		fmt.Println("owner:", owner)
		return err
	})
	if err != nil {
		log.Fatal(err)
	}
	// Output: owner: acme
}
