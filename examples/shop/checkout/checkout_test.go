package checkout

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/divisi-go/divisi/examples/shop/cart"
	"github.com/divisi-go/divisi/examples/shop/catalog"
	"github.com/divisi-go/divisi/examples/shop/currency"
	"github.com/divisi-go/divisi/examples/shop/email"
	"github.com/divisi-go/divisi/examples/shop/money"
	"github.com/divisi-go/divisi/examples/shop/payment"
	"github.com/divisi-go/divisi/examples/shop/shipping"
	"github.com/divisi-go/divisi/examples/shop/trail"
)

// world is all that a checkout asks, and remembers in which order.
type world struct {
	asked   []string
	charged map[string]money.Money
	letters []email.Letter
	fail    map[string]error // what to answer instead
}

func (w *world) ask(name string) (trail.Trail, error) {
	w.asked = append(w.asked, name)
	return trail.Trail{{Component: name}}, w.fail[name]
}

func (w *world) desk() desk {
	w.charged = map[string]money.Money{}
	return desk{cart: carts{nil, w}, currency: rates{w}, shipping: parcels{w}, payment: bank{w}, email: post{w}}
}

type carts struct {
	cart.Cart
	*world
}

func (w carts) View(_ context.Context, r cart.Request) (cart.Contents, error) {
	served, err := w.ask("cart")
	c := cart.Contents{Lines: r.Lines, Count: cart.Count(r.Lines), Grams: 1500 * len(r.Lines), Served: served}
	c.Subtotal = money.Money{Currency: r.Currency, Minor: int64(1000 * len(r.Lines))}
	for _, line := range r.Lines {
		c.Items = append(c.Items, cart.Item{Product: catalog.Product{Name: line.Product}, Quantity: line.Quantity})
	}
	return c, err
}

type rates struct{ *world }

func (w rates) Convert(_ context.Context, amounts []money.Money, code string) (currency.Converted, error) {
	served, err := w.ask("currency")
	doubled := currency.Converted{Served: served}
	for _, amount := range amounts {
		doubled.Amounts = append(doubled.Amounts, money.Money{Currency: code, Minor: 2 * amount.Minor})
	}
	return doubled, err
}

type parcels struct{ *world }

func (w parcels) Quote(_ context.Context, country string, grams int) (shipping.Quote, error) {
	served, err := w.ask("shipping")
	return shipping.Quote{Price: money.Euro(0, int64(grams/100)), Time: "a day to " + country, Served: served}, err
}

func (w parcels) Ship(context.Context, string, shipping.Address) (shipping.Shipment, error) {
	served, err := w.ask("ship")
	return shipping.Shipment{Tracking: "TT-1", Served: served}, err
}

type bank struct{ *world }

func (w bank) Charge(_ context.Context, order string, amount money.Money, _ payment.Card) (payment.Receipt, error) {
	served, err := w.ask("payment")
	if err == nil {
		w.charged[order] = amount
	}
	return payment.Receipt{Transaction: "1", Card: "Visa ending in 4242", Served: served}, err
}

type post struct{ *world }

func (w post) Confirm(_ context.Context, l email.Letter) (email.Sent, error) {
	served, err := w.ask("email")
	if err == nil {
		w.letters = append(w.letters, l)
	}
	return email.Sent{Served: served}, err
}

func example() Order {
	return Order{
		ID:      "T-1",
		Cart:    cart.Request{User: "somebody", Currency: "USD", Lines: []cart.Line{{Product: "drum", Quantity: 2}}},
		Email:   "clara@example.com",
		Address: shipping.Address{Name: "Clara", Street: "Gasse 7", Postcode: "1070", City: "Wien", Country: "AT"},
	}
}

func TestPlace(t *testing.T) {
	var w world
	got, err := w.desk().place(t.Context(), example())
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"cart", "shipping", "currency", "payment", "ship", "email"}; !slices.Equal(w.asked, want) {
		t.Errorf("asked %v, want %v", w.asked, want)
	}
	// 1000 for the drum, and 2 × 15 for the parcel.
	if total := (money.Money{Currency: "USD", Minor: 1030}); got.Quote.Total != total || w.charged["T-1"] != total {
		t.Errorf("total %v, charged %v, want %v", got.Quote.Total, w.charged["T-1"], total)
	}
	if got.Order != "T-1" || got.Tracking != "TT-1" || got.Card == "" || !got.Mailed || len(got.Served) != 6 {
		t.Errorf("confirmation %+v", got)
	}
	if len(w.letters) != 1 || w.letters[0].Total != got.Quote.Total || w.letters[0].Items[0].Name != "drum" {
		t.Errorf("letters %+v", w.letters)
	}
}

func TestPlaceWithoutLetter(t *testing.T) {
	w := world{fail: map[string]error{"email": errors.New("no stamps")}}
	got, err := w.desk().place(t.Context(), example())
	if err != nil || got.Mailed || got.Tracking == "" {
		t.Errorf("confirmation %+v (%v), want one without a letter", got, err)
	}
}

// TestNothingIsChargedBeforeAllIsChecked spoils everything that comes before the charge.
func TestNothingIsChargedBeforeAllIsChecked(t *testing.T) {
	for name, test := range map[string]struct {
		spoil func(*Order)
		want  error
	}{
		"no id":         {func(o *Order) { o.ID = "" }, nil},
		"empty cart":    {func(o *Order) { o.Cart.Lines = nil }, ErrEmpty},
		"no street":     {func(o *Order) { o.Address.Street = "" }, shipping.ErrAddress},
		"no such place": {func(o *Order) { o.Address.Country = "XX" }, shipping.ErrCountry},
		"no email":      {func(o *Order) { o.Email = "" }, email.ErrAddress},
		"other money":   {func(o *Order) { o.Cart.Currency = "XXX" }, money.ErrCurrency},
	} {
		var w world
		o := example()
		test.spoil(&o)
		_, err := w.desk().place(t.Context(), o)
		if err == nil || test.want != nil && !errors.Is(err, test.want) {
			t.Errorf("%s: error %v, want %v", name, err, test.want)
		}
		if len(w.charged) > 0 || len(w.letters) > 0 {
			t.Errorf("%s: charged %v, wrote %v", name, w.charged, w.letters)
		}
	}
}

func TestErrorsAreKept(t *testing.T) {
	for _, name := range []string{"cart", "shipping", "currency", "payment", "ship"} {
		broken := payment.Declined{Reason: name}
		w := world{fail: map[string]error{name: broken}}
		var got payment.Declined
		if _, err := w.desk().place(t.Context(), example()); !errors.As(err, &got) || got != broken {
			t.Errorf("%s fails with %v, want %v", name, err, broken)
		}
		if charged := len(w.charged) > 0; charged != (name == "ship") {
			t.Errorf("%s fails: charged is %v", name, charged)
		}
	}
}
