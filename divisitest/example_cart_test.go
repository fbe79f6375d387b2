package divisitest_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/divisi-go/divisi"
	"github.com/divisi-go/divisi/divisitest"
)

// Prices is a component that Cart uses.
type Prices interface {
	Price(ctx context.Context, item string) (int, error)
}

// priceList is the component's section of the configuration.
type priceList struct {
	Cents map[string]int
}

type prices struct {
	divisi.Implements[Prices]
	divisi.WithConfig[priceList]
}

func (p *prices) Price(_ context.Context, item string) (int, error) {
	cents, ok := p.Config().Cents[item]
	if !ok {
		return 0, fmt.Errorf("there is no %s", item)
	}
	return cents, nil
}

// Cart is the component under test.
type Cart interface {
	Total(ctx context.Context, items ...string) (int, error)
}

type cart struct {
	divisi.Implements[Cart]
	prices divisi.Ref[Prices]
}

func (c *cart) Total(ctx context.Context, items ...string) (int, error) {
	total := 0
	for _, item := range items {
		cents, err := c.prices.Get().Price(ctx, item)
		if err != nil {
			return 0, err
		}
		total += cents
	}
	return total, nil
}

// testTotal is a test of the Cart with the real Prices: in one process, with arguments and results
// encoded, and with each component in processes of its own. Name it TestTotal.
func testTotal(t *testing.T) {
	for _, runner := range divisitest.AllRunners() {
		runner.Config = `
			["github.com/divisi-go/divisi/divisitest_test/Prices"]
			Cents = { apple = 30, pear = 40 }
		`
		runner.Test(t, func(t *testing.T, cart Cart) {
			if got, err := cart.Total(t.Context(), "apple", "pear"); got != 70 || err != nil {
				t.Errorf("Total = %d, %v, want 70", got, err)
			}
		})
	}
}

func Example() {
	var t *testing.T // by go test
	testTotal(t)
}
