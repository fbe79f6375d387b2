package main

import (
	"context"
	"errors"
	"testing"

	"github.com/divisi-go/divisi/divisitest"
)

func TestSteps(t *testing.T) {
	for _, runner := range divisitest.AllRunners() {
		runner.Test(t, func(t *testing.T, odd Odd, even Even) {
			for n, want := range map[int]int{1: 0, 2: 1, 3: 7, 27: 111} {
				steps := odd.Steps
				if n%2 == 0 {
					steps = even.Steps
				}
				if got, err := steps(t.Context(), n); got != want || err != nil {
					t.Errorf("Steps(%d) = %d, %v, want %d", n, got, err, want)
				}
			}
			if _, err := even.Steps(t.Context(), -2); !errors.Is(err, ErrNotPositive) {
				t.Errorf("Steps(-2): %v, want %v", err, ErrNotPositive)
			}
		})
	}
}

// stuck is a fake of Odd.
type stuck struct{}

func (stuck) Steps(context.Context, int) (int, error) { return 1000, nil }

func TestFake(t *testing.T) {
	for _, runner := range divisitest.AllRunners() {
		runner.Fakes = []divisitest.FakeComponent{divisitest.Fake[Odd](stuck{})}
		runner.Test(t, func(t *testing.T, even Even) {
			if got, err := even.Steps(t.Context(), 8); got != 1003 || err != nil {
				t.Errorf("Steps(8) = %d, %v, want 1003 by the fake", got, err)
			}
		})
	}
}
