package metadata_test

import (
	"context"
	"fmt"
	"maps"
	"testing"

	"github.com/divisi-go/divisi/metadata"
)

func TestNone(t *testing.T) {
	if meta, ok := metadata.FromContext(t.Context()); ok || meta != nil {
		t.Errorf("FromContext = %v, %v; want nothing", meta, ok)
	}
}

func TestNilMap(t *testing.T) {
	outer := metadata.NewContext(t.Context(), map[string]string{"tenant": "acme"})
	if meta, ok := metadata.FromContext(metadata.NewContext(outer, nil)); !ok || len(meta) != 0 {
		t.Errorf("FromContext = %v, %v; want no metadata, set on purpose", meta, ok)
	}
}

func TestInnerReplacesOuter(t *testing.T) {
	outer := metadata.NewContext(t.Context(), map[string]string{"tenant": "acme", "user": "ann"})
	inner := metadata.NewContext(outer, map[string]string{"tenant": "zeta"})
	if meta, _ := metadata.FromContext(inner); !maps.Equal(meta, map[string]string{"tenant": "zeta"}) {
		t.Errorf("the inner context carries %v", meta)
	}
	if meta, _ := metadata.FromContext(outer); len(meta) != 2 {
		t.Errorf("the outer context carries %v", meta)
	}
}

func TestImmutable(t *testing.T) {
	want := map[string]string{"tenant": "acme"}
	given := maps.Clone(want)
	ctx := metadata.NewContext(t.Context(), given)
	given["tenant"] = "changed by the caller"
	got, _ := metadata.FromContext(ctx)
	got["tenant"] = "changed by the callee"
	if meta, ok := metadata.FromContext(ctx); !ok || !maps.Equal(meta, want) {
		t.Errorf("FromContext = %v, %v; want %v", meta, ok, want)
	}
}

func ExampleNewContext() {
	ctx := metadata.NewContext(context.Background(), map[string]string{"tenant": "acme"})

	// In the method that is called with ctx, wherever it runs:
	if meta, ok := metadata.FromContext(ctx); ok {
		fmt.Println(meta["tenant"])
	}
	// Output: acme
}
