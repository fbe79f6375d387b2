package messages

import (
	"errors"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/divisi-go/divisi/divisitest"
)

// run runs a test with the component in this process, encoded, and in other processes.
func run(t *testing.T, body func(t *testing.T, e Echo)) {
	t.Parallel()
	for _, runner := range divisitest.AllRunners() {
		runner.Config = "[divisi]\nreplicas = 1\n"
		runner.Test(t, body)
	}
}

// same fails the test unless a message has come back as it is, and not as the same memory. A nil
// message is not an empty one.
func same[M interface {
	proto.Message
	comparable
}](t *testing.T, got, want M) {
	t.Helper()
	var none M
	switch {
	case (got == none) != (want == none) || !proto.Equal(got, want):
		t.Errorf("got %v, want %v", got, want)
	case want != none && got == want:
		t.Errorf("%v is shared, not copied", want)
	}
}

func newStruct(t *testing.T, fields map[string]any) *structpb.Struct {
	t.Helper()
	s, err := structpb.NewStruct(fields)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// values are nil, empty, and one of each kind.
func values(t *testing.T) []*structpb.Value {
	return []*structpb.Value{
		nil, {}, structpb.NewNullValue(), structpb.NewBoolValue(true), structpb.NewNumberValue(-1.5),
		structpb.NewStringValue("größer\x00"),
		structpb.NewStructValue(newStruct(t, map[string]any{
			"list": []any{1, "a", nil, map[string]any{"deep": true}}, "": "empty",
		})),
	}
}

func TestArguments(t *testing.T) {
	run(t, func(t *testing.T, e Echo) {
		for _, want := range []*timestamppb.Timestamp{
			nil, {}, timestamppb.New(time.Unix(1_700_000_000, 999_999_999)), {Seconds: -1, Nanos: 1},
		} {
			got, err := e.Time(t.Context(), want)
			if err != nil {
				t.Fatal(err)
			}
			same(t, got, want)
		}
		for _, fields := range []map[string]any{{}, {"a": 1, "b": []any{"c", nil}}} {
			want, lasting := newStruct(t, fields), durationpb.New(-90*time.Millisecond)
			got, gotLasting, err := e.Struct(t.Context(), want, lasting)
			if err != nil {
				t.Fatal(err)
			}
			same(t, got, want)
			same(t, gotLasting, lasting)
		}
		got, lasting, err := e.Struct(t.Context(), nil, nil)
		if got != nil || lasting != nil || err != nil {
			t.Errorf("nil and nil come back as %v and %v, %v", got, lasting, err)
		}
	})
}

// TestUnknownFields: what a newer version of a message has is kept on the way through this one.
func TestUnknownFields(t *testing.T) {
	run(t, func(t *testing.T, e Echo) {
		want := timestamppb.New(time.Unix(1, 0))
		want.ProtoReflect().SetUnknown([]byte{0xa0, 0x06, 0x01}) // field 100 is 1
		got, err := e.Time(t.Context(), want)
		if err != nil {
			t.Fatal(err)
		}
		same(t, got, want)
	})
}

func sameValues(t *testing.T, got, want []*structpb.Value) {
	t.Helper()
	if len(got) != len(want) || (got == nil) != (want == nil) {
		t.Fatalf("got %v, want %v", got, want)
	}
	for i := range want {
		same(t, got[i], want[i])
	}
}

func TestLists(t *testing.T) {
	run(t, func(t *testing.T, e Echo) {
		for _, want := range [][]*structpb.Value{nil, {}, values(t)} {
			got, err := e.All(t.Context(), want...)
			if err != nil {
				t.Fatal(err)
			}
			sameValues(t, got, want)
		}
		var yielded []*structpb.Value
		for v, err := range e.Each(t.Context(), values(t)) {
			if err != nil {
				t.Fatal(err)
			}
			yielded = append(yielded, v)
		}
		sameValues(t, yielded, values(t))
	})
}

func TestFields(t *testing.T) {
	run(t, func(t *testing.T, e Echo) {
		want := Order{
			ID: "o1", Placed: timestamppb.New(time.Unix(5, 6)),
			Details:  newStruct(t, map[string]any{"gift": true}),
			Timeouts: []*durationpb.Duration{durationpb.New(time.Second), nil},
			Notes:    map[string]*structpb.Value{"none": nil, "text": structpb.NewStringValue("x")},
			Parent:   &Order{ID: "o0"}, // all of whose messages are nil
		}
		got, err := e.Order(t.Context(), want)
		if err != nil {
			t.Fatal(err)
		}
		same(t, got.Placed, want.Placed)
		same(t, got.Details, want.Details)
		if len(got.Timeouts) != 2 || len(got.Notes) != 2 {
			t.Fatalf("got %v", got)
		}
		for i := range want.Timeouts {
			same(t, got.Timeouts[i], want.Timeouts[i])
		}
		for name := range want.Notes {
			same(t, got.Notes[name], want.Notes[name])
		}
		if p := got.Parent; p == nil || p.ID != "o0" || p.Placed != nil || p.Details != nil ||
			p.Timeouts != nil || p.Notes != nil || p.Parent != nil {
			t.Errorf("the parent is %v", p)
		}
	})
}

// TestNotShared: a callee that changes its argument changes a copy, wherever it is.
func TestNotShared(t *testing.T) {
	run(t, func(t *testing.T, e Echo) {
		s := newStruct(t, map[string]any{"a": 1})
		if err := e.Spoil(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		if len(s.Fields) != 1 {
			t.Errorf("the callee has changed the caller's message: %v", s)
		}
	})
}

func TestErrors(t *testing.T) {
	run(t, func(t *testing.T, e Echo) {
		for _, until := range []*timestamppb.Timestamp{nil, timestamppb.New(time.Unix(7, 8))} {
			var refusal *Refusal
			if err := e.Refuse(t.Context(), until); !errors.As(err, &refusal) {
				t.Fatalf("error %v is no Refusal", err)
			}
			if (refusal.Until == nil) != (until == nil) || !proto.Equal(refusal.Until, until) {
				t.Errorf("until %v, want %v", refusal.Until, until)
			}
		}
	})
}

// TestInvalid: a message that the runtime cannot write fails the call, and nothing else.
func TestInvalid(t *testing.T) {
	run(t, func(t *testing.T, e Echo) {
		_, err := e.All(t.Context(), structpb.NewStringValue("\xff"))
		if t.Name() != "TestInvalid/Local" && err == nil {
			t.Error("text that is not UTF-8 has no error")
		}
		if _, err := e.All(t.Context()); err != nil {
			t.Errorf("the call after it: %v", err)
		}
	})
}
