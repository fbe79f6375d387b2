package divisitest_test

import (
	"context"
	"testing"

	"github.com/divisi-go/divisi/divisitest"
)

// onePrice takes the place of Prices. A fake embeds nothing and needs no generated code.
type onePrice int

func (p onePrice) Price(context.Context, string) (int, error) { return int(p), nil }

// testFake is a test of the Cart without the Prices.
func testFake(t *testing.T) {
	for _, runner := range divisitest.AllRunners() {
		runner.Fakes = []divisitest.FakeComponent{divisitest.Fake[Prices](onePrice(5))}
		runner.Test(t, func(t *testing.T, cart Cart) {
			if got, err := cart.Total(t.Context(), "apple", "pear"); got != 10 || err != nil {
				t.Errorf("Total = %d, %v, want 10", got, err)
			}
		})
	}
}

func ExampleFake() {
	var t *testing.T // by go test
	testFake(t)
}
