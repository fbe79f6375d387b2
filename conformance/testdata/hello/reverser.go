package main

import (
	"context"

	"github.com/ServiceWeaver/weaver"
	"github.com/ServiceWeaver/weaver/metrics"
)

var lengths = metrics.NewHistogram("lengths", "Lengths of names", metrics.NonNegativeBuckets)

// Reverser component.
type Reverser interface {
	Reverse(context.Context, string) (string, error)
}

// Implementation of the Reverser component.
type reverser struct {
	weaver.Implements[Reverser]
	weaver.WithRouter[router]
}

// router sends the calls with one name to one replica.
type router struct{}

func (router) Reverse(_ context.Context, s string) string { return s }

func (r *reverser) Reverse(ctx context.Context, s string) (string, error) {
	lengths.Put(float64(len(s)))
	r.Logger(ctx).Debug("reverse", "name", s)
	runes := []rune(s)
	n := len(runes)
	for i := 0; i < n/2; i++ {
		runes[i], runes[n-i-1] = runes[n-i-1], runes[i]
	}
	return string(runes), nil
}
