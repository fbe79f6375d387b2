// Package messages has a component whose arguments and results are Protocol Buffers messages of
// the real runtime, in all places that a type can have.
package messages

import (
	"context"
	"errors"
	"iter"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/divisi-go/divisi"
)

// Order holds messages as fields, which may be nil.
type Order struct {
	ID       string
	Placed   *timestamppb.Timestamp
	Details  *structpb.Struct
	Timeouts []*durationpb.Duration
	Notes    map[string]*structpb.Value
	Parent   *Order
}

// Echo returns what it is given.
type Echo interface {
	Time(ctx context.Context, t *timestamppb.Timestamp) (*timestamppb.Timestamp, error)
	Struct(ctx context.Context, s *structpb.Struct, d *durationpb.Duration) (
		*structpb.Struct, *durationpb.Duration, error)
	All(ctx context.Context, values ...*structpb.Value) ([]*structpb.Value, error)
	Order(ctx context.Context, o Order) (Order, error)

	// Each yields the values.
	Each(ctx context.Context, values []*structpb.Value) iter.Seq2[*structpb.Value, error]

	// Spoil changes its argument, which the caller must not see.
	Spoil(ctx context.Context, s *structpb.Struct) error

	// Refuse returns a Refusal.
	Refuse(ctx context.Context, until *timestamppb.Timestamp) error
}

// Refusal is an error with a message in it.
type Refusal struct {
	Until *timestamppb.Timestamp
}

func (r *Refusal) Error() string { return "not before " + r.Until.AsTime().String() }

type echo struct {
	divisi.Implements[Echo]
}

func (*echo) Time(_ context.Context, t *timestamppb.Timestamp) (*timestamppb.Timestamp, error) {
	return t, nil
}

func (*echo) Struct(_ context.Context, s *structpb.Struct, d *durationpb.Duration) (
	*structpb.Struct, *durationpb.Duration, error) {
	return s, d, nil
}

func (*echo) All(_ context.Context, values ...*structpb.Value) ([]*structpb.Value, error) {
	return values, nil
}

func (*echo) Order(_ context.Context, o Order) (Order, error) { return o, nil }

func (*echo) Each(_ context.Context, values []*structpb.Value) iter.Seq2[*structpb.Value, error] {
	return func(yield func(*structpb.Value, error) bool) {
		for _, v := range values {
			if !yield(v, nil) {
				return
			}
		}
	}
}

func (*echo) Spoil(_ context.Context, s *structpb.Struct) error {
	if s == nil {
		return errors.New("nothing to spoil")
	}
	s.Fields["spoilt"] = structpb.NewBoolValue(true)
	return nil
}

func (*echo) Refuse(_ context.Context, until *timestamppb.Timestamp) error {
	return &Refusal{until}
}
