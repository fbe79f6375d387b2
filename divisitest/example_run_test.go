package divisitest_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/divisi-go/divisi/divisitest"
)

// slowPrices takes an hour for each price.
type slowPrices struct{}

func (slowPrices) Price(ctx context.Context, _ string) (int, error) {
	select {
	case <-time.After(time.Hour):
		return 1, nil
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// testSlow passes in no time: time is virtual in a bubble of testing/synctest.
func testSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		runner := divisitest.Local
		runner.Fakes = []divisitest.FakeComponent{divisitest.Fake[Prices](slowPrices{})}
		runner.Run(t, func(t *testing.T, cart Cart) {
			ctx, cancel := context.WithTimeout(t.Context(), 90*time.Minute)
			defer cancel()
			if got, err := cart.Total(ctx, "apple"); got != 1 || err != nil {
				t.Errorf("Total of one = %d, %v, want 1", got, err)
			}
			if _, err := cart.Total(ctx, "apple", "pear"); err == nil {
				t.Error("Total of two, which takes too long, has no error")
			}
		})
	})
}

func ExampleRunner_Run() {
	var t *testing.T // by go test
	testSlow(t)
}
