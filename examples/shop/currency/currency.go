// Package currency changes money from one currency into another.
package currency

import (
	"context"
	"fmt"

	"github.com/divisi-go/divisi"
	"github.com/divisi-go/divisi/examples/shop/money"
	"github.com/divisi-go/divisi/examples/shop/trail"
)

// Currency changes money.
type Currency interface {
	// Convert changes amounts, of any currencies, into one. Each is rounded by itself.
	Convert(ctx context.Context, amounts []money.Money, code string) (Converted, error)
}

// Converted are the amounts that were asked for, in the same order.
type Converted struct {
	Amounts []money.Money
	Served  trail.Trail
}

// rates is what one euro costs, in millionths. They are part of the program, so that all
// replicas of one version agree on every price.
var rates = map[string]int64{
	"EUR": 1_000_000,
	"USD": 1_084_500,
	"GBP": 853_200,
	"CHF": 962_100,
	"JPY": 161_350_000,
	"KWD": 333_400,
}

type currency struct {
	divisi.Implements[Currency]
}

func (c *currency) Convert(_ context.Context, amounts []money.Money, code string) (Converted, error) {
	converted := make([]money.Money, len(amounts))
	for i, amount := range amounts {
		var err error
		converted[i], err = amount.Convert(code, rates[amount.Currency], rates[code])
		if err != nil {
			return Converted{}, fmt.Errorf("cannot convert: %w", err)
		}
	}
	return Converted{Amounts: converted, Served: trail.Of(c.Self())}, nil
}
