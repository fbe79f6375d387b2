package checkout

import (
	"context"
	"errors"
	"fmt"

	"github.com/divisi-go/divisi/examples/shop/cart"
	"github.com/divisi-go/divisi/examples/shop/currency"
	"github.com/divisi-go/divisi/examples/shop/email"
	"github.com/divisi-go/divisi/examples/shop/money"
	"github.com/divisi-go/divisi/examples/shop/payment"
	"github.com/divisi-go/divisi/examples/shop/shipping"
)

// desk is a checkout with the components it needs.
type desk struct {
	cart     cart.Cart
	currency currency.Currency
	shipping shipping.Shipping
	payment  payment.Payment
	email    email.Email
}

func (d desk) quote(ctx context.Context, r cart.Request, country string) (Quote, error) {
	contents, err := d.cart.View(ctx, r)
	if err != nil {
		return Quote{}, err
	}
	if contents.Count == 0 {
		return Quote{}, ErrEmpty
	}
	parcel, err := d.shipping.Quote(ctx, country, contents.Grams)
	if err != nil {
		return Quote{}, err
	}
	converted, err := d.currency.Convert(ctx, []money.Money{parcel.Price}, r.Currency)
	if err != nil {
		return Quote{}, err
	}
	total, err := money.Sum(r.Currency, contents.Subtotal, converted.Amounts[0])
	if err != nil {
		return Quote{}, err
	}
	return Quote{
		Contents: contents,
		Shipping: converted.Amounts[0],
		Total:    total,
		Time:     parcel.Time,
		Served:   contents.Served.Add(parcel.Served...).Add(converted.Served...),
	}, nil
}

// place checks everything that can be wrong before it charges, for what follows cannot be
// undone.
func (d desk) place(ctx context.Context, o Order) (Confirmation, error) {
	if o.ID == "" {
		return Confirmation{}, errors.New("cannot place an order without an id")
	}
	if err := errors.Join(o.Address.Check(), email.CheckAddress(o.Email)); err != nil {
		return Confirmation{}, fmt.Errorf("cannot place the order: %w", err)
	}
	quote, err := d.quote(ctx, o.Cart, o.Address.Country)
	if err != nil {
		return Confirmation{}, fmt.Errorf("cannot place the order: %w", err)
	}
	receipt, err := d.payment.Charge(ctx, o.ID, quote.Total, o.Card)
	if err != nil {
		return Confirmation{}, fmt.Errorf("cannot charge the order: %w", err)
	}
	shipment, err := d.shipping.Ship(ctx, o.ID, o.Address)
	if err != nil {
		return Confirmation{}, fmt.Errorf("the order is paid and not shipped: %w", err)
	}
	c := Confirmation{
		Order:    o.ID,
		Quote:    quote,
		Tracking: shipment.Tracking,
		Card:     receipt.Card,
		Served:   quote.Served.Add(receipt.Served...).Add(shipment.Served...),
	}
	// A customer with a parcel and no letter is better off than one with neither.
	if sent, err := d.email.Confirm(ctx, letterFor(o, c)); err == nil {
		c.Mailed = true
		c.Served = c.Served.Add(sent.Served...)
	}
	return c, nil
}

func letterFor(o Order, c Confirmation) email.Letter {
	letter := email.Letter{
		To:       o.Email,
		Name:     o.Address.Name,
		Order:    c.Order,
		Shipping: c.Quote.Shipping,
		Total:    c.Quote.Total,
		Tracking: c.Tracking,
		Time:     c.Quote.Time,
	}
	for _, item := range c.Quote.Contents.Items {
		letter.Items = append(letter.Items,
			email.Item{Quantity: item.Quantity, Name: item.Product.Name, Total: item.Total})
	}
	return letter
}
