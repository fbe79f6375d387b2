// Package metadata sends short strings along with calls: what a caller puts into its context
// comes out of the context of the component it calls, and of those that this one calls in turn
// with the context it was given, in the same process or in another.
//
// Metadata is for what concerns every call on the way, such as the name of a tenant; what only
// the called method needs is better an argument. It goes from the caller to the callee and never
// back. The names and their meaning are those of Service Weaver's package metadata.
package metadata

import (
	"context"
	"maps"
)

type key struct{}

// NewContext returns a context that carries a copy of meta, in place of any metadata that ctx
// carried. To add to it, change the copy that FromContext returns.
func NewContext(ctx context.Context, meta map[string]string) context.Context {
	return context.WithValue(ctx, key{}, maps.Clone(meta))
}

// FromContext returns a copy of the metadata that ctx carries, and whether it carries any.
func FromContext(ctx context.Context) (map[string]string, bool) {
	meta, ok := ctx.Value(key{}).(map[string]string)
	return maps.Clone(meta), ok
}
