package frontend

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/divisi-go/divisi/examples/shop/cart"
	"github.com/divisi-go/divisi/examples/shop/checkout"
	"github.com/divisi-go/divisi/examples/shop/email"
	"github.com/divisi-go/divisi/examples/shop/payment"
	"github.com/divisi-go/divisi/examples/shop/shipping"
)

func (s *site) showCart(v *visit) error {
	contents, err := s.cart.View(v.ctx, v.session.cart())
	if err != nil {
		return err
	}
	return s.renderCart(v, contents, "")
}

func (s *site) renderCart(v *visit, contents cart.Contents, notice string) error {
	v.saw(contents.Served)
	v.session.Lines = contents.Lines
	var ids []string
	for _, line := range contents.Lines {
		ids = append(ids, line.Product)
	}
	return s.render(v, "cart", "Your cart", struct {
		cart.Contents
		Notice string
		Most   int
		Others []card
	}{contents, notice, cart.MaxQuantity, s.suggestions(v, ids, 4)})
}

func (s *site) addToCart(v *visit) error { return s.change(v, true) }

func (s *site) changeCart(v *visit) error { return s.change(v, false) }

func (s *site) change(v *visit, add bool) error {
	quantity, err := strconv.Atoi(v.PostFormValue("quantity"))
	if err != nil {
		return fmt.Errorf("%w: %w", errForm, err)
	}
	contents, err := s.cart.Change(v.ctx, v.session.cart(),
		cart.Change{Product: v.PostFormValue("product"), Quantity: quantity, Add: add})
	if errors.Is(err, cart.ErrQuantity) {
		if contents, err = s.cart.View(v.ctx, v.session.cart()); err != nil {
			return err
		}
		v.status = http.StatusUnprocessableEntity
		return s.renderCart(v, contents,
			fmt.Sprintf("We can put at most %d of one product into a cart.", cart.MaxQuantity))
	}
	if err != nil {
		return err
	}
	v.session.Lines = contents.Lines
	v.goTo = "/cart"
	return nil
}

func (s *site) emptyCart(v *visit) error {
	v.session.Lines = nil
	v.goTo = "/cart"
	return nil
}

// form is what a customer has typed in at the checkout. Card numbers are not given back.
type form struct {
	Email   string
	Address shipping.Address
}

func (s *site) showCheckout(v *visit) error {
	country := v.URL.Query().Get("country")
	if country == "" {
		country = shipping.Countries[0].Code
	}
	return s.renderCheckout(v, form{Address: shipping.Address{Country: country}}, "")
}

func (s *site) renderCheckout(v *visit, f form, notice string) error {
	quote, err := s.checkout.Quote(v.ctx, v.session.cart(), f.Address.Country)
	switch {
	case errors.Is(err, checkout.ErrEmpty):
		v.goTo = "/cart"
		return nil
	case errors.Is(err, shipping.ErrCountry):
		return fmt.Errorf("%w: %w", errForm, err)
	case err != nil:
		return err
	}
	v.saw(quote.Served)
	var countries []option
	country := ""
	for _, c := range shipping.Countries {
		chosen := c.Code == f.Address.Country
		countries = append(countries, option{c.Code, c.Name, chosen})
		if chosen {
			country = c.Name
		}
	}
	return s.render(v, "checkout", "Checkout", struct {
		checkout.Quote
		Form      form
		Country   string
		Countries []option
		Notice    string
	}{quote, f, country, countries, notice})
}

func (s *site) placeOrder(v *visit) error {
	field := func(name string) string { return strings.TrimSpace(v.PostFormValue(name)) }
	order := checkout.Order{
		ID:    v.session.order(),
		Cart:  v.session.cart(),
		Email: field("email"),
		Address: shipping.Address{
			Name:     field("name"),
			Street:   field("street"),
			Postcode: field("postcode"),
			City:     field("city"),
			Country:  field("country"),
		},
		Card: payment.Card{Number: field("card"), Expiry: field("expiry"), Code: field("code")},
	}
	f := form{order.Email, order.Address}
	if err := errors.Join(order.Address.Check(), email.CheckAddress(order.Email)); err != nil {
		v.status = http.StatusUnprocessableEntity
		return s.renderCheckout(v, f, sentence(err))
	}
	confirmation, err := s.checkout.PlaceOrder(v.ctx, order)
	var declined payment.Declined
	switch {
	case errors.Is(err, checkout.ErrEmpty):
		v.goTo = "/cart"
		return nil
	case errors.As(err, &declined):
		v.status = http.StatusUnprocessableEntity
		return s.renderCheckout(v, f, declined.Reason+" Nothing was charged.")
	case errors.Is(err, payment.ErrPaid):
		paid := v.session.order()
		v.session.Orders++
		v.status = http.StatusConflict
		return s.renderCheckout(v, f, "Your order "+paid+" had been placed already, before you changed "+
			"the cart. To order what is in the cart now as well, send the form again.")
	case err != nil:
		return err
	}
	v.saw(confirmation.Served)
	v.session.Orders++
	v.session.Lines = nil
	return s.render(v, "order", "Thank you", struct {
		checkout.Confirmation
		Form form
	}{confirmation, f})
}

// sentence makes a sentence of an error, the first line of it.
func sentence(err error) string {
	text, _, _ := strings.Cut(err.Error(), "\n")
	return strings.ToUpper(text[:1]) + text[1:] + "."
}
