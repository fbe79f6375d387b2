package register

import (
	"slices"
	"testing"

	"github.com/divisi-go/divisi/internal/keeper"
)

type server struct {
	domain, name string
	number       int
}

func (s *server) ID() keeper.ID { return keeper.ID{Domain: s.domain, Name: s.name} }

func numbers(list []*server) []int {
	var all []int
	for _, s := range list {
		all = append(all, s.number)
	}
	return all
}

// TestRegister: servers are found by name and domain, in order, also while they leave.
func TestRegister(t *testing.T) {
	r := New[*server]()
	if !r.Empty() {
		t.Error("a new one is not empty")
	}
	list := []*server{{"/shop", "b", 1}, {"/shop", "a", 2}, {"/shop", "b", 3}, {"/shopping", "a", 4}, {"/shop/x", "c", 5}}
	for _, s := range list {
		r.Add(s)
	}
	if got := numbers(r.Within("/shop")); !slices.Equal(got, []int{2, 1, 3, 5}) {
		t.Errorf("within /shop are %v", got)
	}
	if got := numbers(r.Named(keeper.ID{Domain: "/shop", Name: "b", Run: 7})); !slices.Equal(got, []int{1, 3}) {
		t.Errorf("named b are %v", got)
	}

	before := r.Named(list[0].ID())
	r.Remove(list[0])
	if got := numbers(before); !slices.Equal(got, []int{1, 3}) {
		t.Errorf("what was told has changed: %v", got)
	}
	if got := numbers(r.Named(list[2].ID())); !slices.Equal(got, []int{3}) {
		t.Errorf("named b are now %v", got)
	}
	count := 0
	for s := range r.All() {
		r.Remove(s)
		count++
	}
	if count != 4 || !r.Empty() {
		t.Errorf("%d of 4 were told, and it is empty: %v", count, r.Empty())
	}
}
