package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"
)

// crowd lets all customers visit the shop, until the time or the requests are used up. Requests
// that have begun are always ended.
func crowd(ctx context.Context, o options, to *target, t *tally) {
	ctx, cancel := context.WithTimeout(ctx, o.duration)
	defer cancel()
	var sent atomic.Int64
	var wait sync.WaitGroup
	for i := range o.users {
		v := &visitor{
			ctx:    ctx,
			tally:  t,
			random: rand.New(rand.NewPCG(1, uint64(i))),
			think:  o.think,
			begin: func() bool {
				return ctx.Err() == nil && (o.requests == 0 || sent.Add(1) <= int64(o.requests))
			},
		}
		v.client = client{target: to, once: i%2 == 1}
		wait.Go(v.visit)
	}
	wait.Wait()
}

// visitor is one customer after the other, in the same browser.
type visitor struct {
	ctx    context.Context // ends when no more requests are to begin
	client client
	tally  *tally
	random *rand.Rand
	think  time.Duration
	begin  func() bool // reports whether one more request may begin
}

// errEnd is the end of a visit because no more requests are to begin; errLost because one failed.
var (
	errEnd  = errors.New("time is up")
	errLost = errors.New("a request failed")
)

// visit makes one visit after the other, each as a new customer.
func (v *visitor) visit() {
	defer v.client.close()
	for {
		v.client.cookies = map[string]string{}
		var err error
		switch n := v.random.IntN(10); {
		case n < 5:
			err = v.buy()
		case n < 7:
			err = v.browse()
		case n < 9:
			err = v.search()
		default:
			err = v.abroad()
		}
		if errors.Is(err, errEnd) {
			return
		}
		if errors.Is(err, errLost) {
			v.pause(50 * time.Millisecond) // or a shop that is closed is asked ten thousand times
		}
	}
}

// pause waits, or until no more requests are to begin.
func (v *visitor) pause(d time.Duration) {
	if d == 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-v.ctx.Done():
	}
}

// ask sends a request and checks the answer: its status, and whatever check wants.
func (v *visitor) ask(
	page, method, path string, form url.Values, status int, check func(*answer) error,
) (*answer, error) {
	v.pause(v.think)
	if !v.begin() {
		return nil, errEnd
	}
	a, x, err := v.client.do(method, path, form)
	switch {
	case err != nil:
	case a.status != status:
		err = failed(fmt.Sprintf("status %d", a.status), fmt.Errorf("want %d: %s", status, excerpt(a.body)))
	case check != nil:
		if wrong := check(a); wrong != nil {
			err = failed(kindPage, fmt.Errorf("%w: %s", wrong, excerpt(a.body)))
		}
	}
	if err == nil {
		v.tally.add(page, x.took, nil)
		return a, nil
	}
	r := record{
		Time: time.Now(), Page: page, Method: method, URL: "http://" + v.client.target.host + path,
		Error: err.Error(), Millis: float64(x.took) / float64(time.Millisecond),
		Local: x.local, Remote: x.remote, Reused: x.reused, Written: x.written, FirstByte: x.firstByte,
	}
	var f *failure
	if errors.As(err, &f) {
		r.Kind = f.kind
	}
	v.tally.add(page, x.took, &r)
	return nil, errLost
}

func (v *visitor) get(page, path string, check func(*answer) error) (*answer, error) {
	return v.ask(page, http.MethodGet, path, nil, http.StatusOK, check)
}

// post sends a form whose answer is to be a redirection to another page, and returns its path.
func (v *visitor) post(page, path string, form url.Values) (string, error) {
	a, err := v.ask(page, http.MethodPost, path, form, http.StatusSeeOther, func(a *answer) error {
		if to := a.header.Get("Location"); len(to) == 0 || to[0] != '/' {
			return fmt.Errorf("redirected to %q", to)
		}
		return nil
	})
	if err != nil {
		return "", err
	}
	return a.header.Get("Location"), nil
}

// buy is a visit that ends with an order: that a cart is lost on the way would be noticed.
func (v *visitor) buy() error {
	home, err := v.get("home", "/", isPage("home"))
	if err != nil {
		return err
	}
	if _, err := v.get("asset", "/assets/style.css", isAsset); err != nil {
		return err
	}
	products, quantity := v.choose(productsOn(home)), 0
	for _, id := range products {
		page, err := v.get("product", "/product/"+id, isProduct(id))
		if err != nil {
			return err
		}
		if _, err := v.get("asset", pictureOn(page), isAsset); err != nil {
			return err
		}
		n := 1 + v.random.IntN(3)
		to, err := v.post("cart-add", "/cart/add", url.Values{"product": {id}, "quantity": {fmt.Sprint(n)}})
		if err != nil {
			return err
		}
		quantity += n
		if _, err := v.get("cart", to, isCart(quantity)); err != nil {
			return err
		}
	}
	to, err := v.post("cart-change", "/cart/change", url.Values{"product": {products[0]}, "quantity": {"4"}})
	if err != nil {
		return err
	}
	if _, err := v.get("cart", to, hasLine(products[0], 4)); err != nil {
		return err
	}
	country := []string{"AT", "DE", "JP"}[v.random.IntN(3)]
	if _, err := v.get("checkout", "/checkout?country="+country, isPage("checkout")); err != nil {
		return err
	}
	_, err = v.ask("order", http.MethodPost, "/checkout", url.Values{
		"name": {"Clara Load"}, "street": {"Prüfgasse 7"}, "postcode": {"1070"}, "city": {"Wien"},
		"country": {country}, "email": {"clara@example.com"},
		"card": {"4242 4242 4242 4242"}, "expiry": {"12/99"}, "code": {"123"},
	}, http.StatusOK, isOrder)
	if err != nil {
		return err
	}
	_, err = v.get("cart", "/cart", isCart(0))
	return err
}

// browse is a visit that looks around.
func (v *visitor) browse() error {
	categories := []string{"strings", "winds", "keys", "rhythm", "print"}
	list, err := v.get("category", "/?category="+categories[v.random.IntN(len(categories))], isPage("home"))
	if err != nil {
		return err
	}
	for _, id := range v.choose(productsOn(list)) {
		if _, err := v.get("product", "/product/"+id, isProduct(id)); err != nil {
			return err
		}
	}
	_, err = v.get("about", "/about", isPage("about"))
	return err
}

// search is a visit that knows what it wants, and then something that there is not.
func (v *visitor) search() error {
	searches := []struct{ query, product string }{
		{"pearwood", "recorder"}, {"rain", "kalimba"}, {"violin", "duets"}, {"night trains", "harmonica"},
	}
	wanted := searches[v.random.IntN(len(searches))]
	found, err := v.get("search", "/search?q="+url.QueryEscape(wanted.query), shows(wanted.product))
	if err != nil {
		return err
	}
	id := productsOn(found)[0]
	if _, err := v.get("product", "/product/"+id, isProduct(id)); err != nil {
		return err
	}
	_, err = v.ask("unknown", http.MethodGet, "/product/theremin", nil, http.StatusNotFound, isPage("problem"))
	return err
}

// abroad is a visit that pays in other money.
func (v *visitor) abroad() error {
	money := []struct{ code, sign string }{{"USD", "$"}, {"JPY", "¥"}, {"CHF", "CHF\u00a0"}}
	wanted := money[v.random.IntN(len(money))]
	to, err := v.post("currency", "/currency", url.Values{"currency": {wanted.code}, "back": {"/?category=keys"}})
	if err != nil {
		return err
	}
	if _, err := v.get("category", to, pricedIn(wanted.sign)); err != nil {
		return err
	}
	_, err = v.get("product", "/product/kalimba", pricedIn(wanted.sign))
	return err
}

// choose returns one or two of the products.
func (v *visitor) choose(ids []string) []string {
	first := v.random.IntN(len(ids))
	chosen := []string{ids[first]}
	if second := v.random.IntN(len(ids)); second != first {
		chosen = append(chosen, ids[second])
	}
	return chosen
}
