package metadata_test

import (
	"context"
	"fmt"

	"github.com/divisi-go/divisi/metadata"
)

// Metadata is replaced as a whole: to add to it, change the copy.
func ExampleFromContext() {
	ctx := metadata.NewContext(context.Background(), map[string]string{"tenant": "acme"})

	meta, ok := metadata.FromContext(ctx)
	if !ok {
		meta = map[string]string{}
	}
	meta["user"] = "ann"
	inner := metadata.NewContext(ctx, meta)

	meta, _ = metadata.FromContext(inner)
	fmt.Println(meta)
	meta, _ = metadata.FromContext(ctx)
	fmt.Println(meta)
	// Output:
	// map[tenant:acme user:ann]
	// map[tenant:acme]
}
