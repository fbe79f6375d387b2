// Package checkout turns carts into orders.
package checkout

import (
	"context"
	"errors"

	"github.com/divisi-go/divisi"
	"github.com/divisi-go/divisi/examples/shop/cart"
	"github.com/divisi-go/divisi/examples/shop/currency"
	"github.com/divisi-go/divisi/examples/shop/email"
	"github.com/divisi-go/divisi/examples/shop/money"
	"github.com/divisi-go/divisi/examples/shop/payment"
	"github.com/divisi-go/divisi/examples/shop/shipping"
	"github.com/divisi-go/divisi/examples/shop/trail"
)

// ErrEmpty is in the error of a checkout with nothing in the cart.
var ErrEmpty = errors.New("the cart is empty")

// Checkout turns carts into orders.
type Checkout interface {
	// Quote says what an order would cost, sent to a country.
	Quote(ctx context.Context, r cart.Request, country string) (Quote, error)

	// PlaceOrder charges, ships and confirms an order.
	//
	// It may be executed twice when a process dies at the wrong moment. The order's id keeps that
	// from doing harm: it is charged once, and has one tracking number.
	PlaceOrder(ctx context.Context, o Order) (Confirmation, error)
}

// Quote is what an order costs.
type Quote struct {
	Contents cart.Contents
	Shipping money.Money
	Total    money.Money
	Time     string // that shipping takes
	Served   trail.Trail
}

// Order is what a customer wants. Its ID is the customer's, and stays the same when the customer
// tries again.
type Order struct {
	ID      string
	Cart    cart.Request
	Email   string
	Address shipping.Address
	Card    payment.Card
}

// Confirmation is an order that was placed.
type Confirmation struct {
	Order    string
	Quote    Quote
	Tracking string
	Card     string // as "Visa ending in 4242"
	Mailed   bool   // a letter is on its way
	Served   trail.Trail
}

type checkout struct {
	divisi.Implements[Checkout]
	cart     divisi.Ref[cart.Cart]
	currency divisi.Ref[currency.Currency]
	shipping divisi.Ref[shipping.Shipping]
	payment  divisi.Ref[payment.Payment]
	email    divisi.Ref[email.Email]
}

func (c *checkout) Quote(ctx context.Context, r cart.Request, country string) (Quote, error) {
	quote, err := c.desk().quote(ctx, r, country)
	if err != nil {
		return Quote{}, err
	}
	quote.Served = trail.Of(c.Self(), quote.Served)
	return quote, nil
}

func (c *checkout) PlaceOrder(ctx context.Context, o Order) (Confirmation, error) {
	confirmation, err := c.desk().place(ctx, o)
	if err != nil {
		c.Logger(ctx).Warn("order not placed", "order", o.ID, "err", err)
		return Confirmation{}, err
	}
	c.Logger(ctx).Info("order placed", "order", o.ID, "things", confirmation.Quote.Contents.Count,
		"total", confirmation.Quote.Total.String(), "tracking", confirmation.Tracking)
	if !confirmation.Mailed {
		c.Logger(ctx).Warn("no letter was sent", "order", o.ID)
	}
	confirmation.Served = trail.Of(c.Self(), confirmation.Served)
	return confirmation, nil
}

func (c *checkout) desk() desk {
	return desk{
		cart:     c.cart.Get(),
		currency: c.currency.Get(),
		shipping: c.shipping.Get(),
		payment:  c.payment.Get(),
		email:    c.email.Get(),
	}
}
