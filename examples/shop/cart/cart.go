// Package cart says what is in a shopping cart and what it costs.
//
// What is in a cart is known to the customer's browser alone, which sends it with every request
// in a signed cookie. So a replica that dies takes no cart with it, and any replica can serve
// any customer. What a replica keeps of a customer is only a copy of its last answer, and calls
// are routed by customer so that the copy is of use.
package cart

import (
	"context"
	"fmt"
	"slices"

	"github.com/divisi-go/divisi"
	"github.com/divisi-go/divisi/examples/shop/catalog"
	"github.com/divisi-go/divisi/examples/shop/currency"
	"github.com/divisi-go/divisi/examples/shop/money"
	"github.com/divisi-go/divisi/examples/shop/trail"
)

// Cart says what is in a cart and what it costs.
type Cart interface {
	// View returns the contents of a cart. Products that are no longer sold are left out.
	View(ctx context.Context, r Request) (Contents, error)

	// Change returns the contents of a cart after a change. The error is catalog.ErrUnknown or
	// ErrQuantity when the change cannot be made.
	Change(ctx context.Context, r Request, c Change) (Contents, error)
}

// Request names a cart.
type Request struct {
	User     string
	Lines    []Line
	Currency string // the prices are wanted in
}

func (r Request) equal(other Request) bool {
	return r.User == other.User && r.Currency == other.Currency && slices.Equal(r.Lines, other.Lines)
}

// Contents is a cart with its prices.
type Contents struct {
	Lines    []Line
	Items    []Item
	Count    int // of things, not of lines
	Subtotal money.Money
	Grams    int
	Served   trail.Trail
}

// Item is a line with its prices.
type Item struct {
	Product  catalog.Product
	Quantity int
	Price    money.Money // of one
	Total    money.Money
}

type cart struct {
	divisi.Implements[Cart]
	divisi.WithRouter[router]
	catalog  divisi.Ref[catalog.Catalog]
	currency divisi.Ref[currency.Currency]
	memory   memory
}

// router sends all calls for a customer to the same replica.
type router struct{}

func (router) View(_ context.Context, r Request) string             { return r.User }
func (router) Change(_ context.Context, r Request, _ Change) string { return r.User }

func (c *cart) View(ctx context.Context, r Request) (Contents, error) {
	contents, ok := c.memory.get(r)
	if !ok {
		var err error
		if contents, err = price(ctx, r, c.catalog.Get(), c.currency.Get()); err != nil {
			return Contents{}, err
		}
		c.memory.put(r, contents)
	}
	contents.Served = trail.Of(c.Self(), contents.Served)
	return contents, nil
}

func (c *cart) Change(ctx context.Context, r Request, change Change) (Contents, error) {
	detail, err := c.catalog.Get().Product(ctx, change.Product)
	if err != nil {
		return Contents{}, fmt.Errorf("cannot change the cart: %w", err)
	}
	if r.Lines, err = merge(r.Lines, change); err != nil {
		return Contents{}, fmt.Errorf("cannot change the cart: %w", err)
	}
	contents, err := c.View(ctx, r)
	contents.Served = contents.Served.Add(detail.Served...)
	return contents, err
}

// price returns the contents of a cart. Every price is converted by itself and then multiplied,
// so that what the page shows adds up.
func price(ctx context.Context, r Request, products catalog.Catalog, rates currency.Currency) (Contents, error) {
	contents := Contents{Subtotal: money.Money{Currency: r.Currency}}
	if len(r.Lines) == 0 {
		return contents, nil
	}
	quantity := map[string]int{}
	var ids []string
	for _, line := range r.Lines[:min(len(r.Lines), MaxLines)] {
		if quantity[line.Product] > 0 || line.Quantity <= 0 || line.Quantity > MaxQuantity {
			continue // not by this shop's hand: a negative quantity would lower the sum
		}
		quantity[line.Product] = line.Quantity
		ids = append(ids, line.Product)
	}
	found, err := products.Lookup(ctx, ids)
	if err != nil {
		return Contents{}, fmt.Errorf("cannot price the cart: %w", err)
	}
	var prices []money.Money
	for _, p := range found.List {
		prices = append(prices, p.Price)
	}
	converted, err := rates.Convert(ctx, prices, r.Currency)
	if err != nil {
		return Contents{}, fmt.Errorf("cannot price the cart: %w", err)
	}
	var totals []money.Money
	for i, p := range found.List {
		n := quantity[p.ID]
		total, err := converted.Amounts[i].Times(n)
		if err != nil {
			return Contents{}, fmt.Errorf("cannot price the cart: %w", err)
		}
		totals = append(totals, total)
		contents.Items = append(contents.Items,
			Item{Product: p, Quantity: n, Price: converted.Amounts[i], Total: total})
		contents.Lines = append(contents.Lines, Line{Product: p.ID, Quantity: n})
		contents.Grams += n * p.Grams
	}
	contents.Count = Count(contents.Lines)
	contents.Served = found.Served.Add(converted.Served...)
	contents.Subtotal, err = money.Sum(r.Currency, totals...)
	return contents, err
}
