package main

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// The marks that the shop's pages carry.
var (
	cardMark    = regexp.MustCompile(`data-product="([a-z-]+)"`)
	pictureMark = regexp.MustCompile(`<article class="product"[^>]*>\s*<img src="([^"]+)"`)
	priceMark   = regexp.MustCompile(`class="price"[^>]*>([^<]+)<`)
	orderMark   = regexp.MustCompile(`data-order="T-[A-Z2-7]{16}"`)
	parcelMark  = regexp.MustCompile(`data-tracking="TT(-[0-9]{4}){3}"`)
	closingTag  = []byte("</html>")
)

// isPage checks that an answer is a whole page, and which.
func isPage(name string) func(*answer) error {
	return func(a *answer) error {
		switch {
		case !strings.HasPrefix(a.header.Get("Content-Type"), "text/html"):
			return fmt.Errorf("content type %q is not a page", a.header.Get("Content-Type"))
		case !bytes.Contains(a.body, []byte(`data-page="`+name+`"`)):
			return fmt.Errorf("not the page %q", name)
		case !bytes.HasSuffix(bytes.TrimSpace(a.body), closingTag):
			return errors.New("the page ends in the middle")
		case name == "home" && !cardMark.Match(a.body):
			return errors.New("there is nothing for sale")
		}
		return nil
	}
}

// isProduct checks that the page of a product shows this one, with its picture and a price.
func isProduct(id string) func(*answer) error {
	return func(a *answer) error {
		if err := isPage("product")(a); err != nil {
			return err
		}
		if shown := cardMark.FindSubmatch(a.body); shown == nil || string(shown[1]) != id {
			return fmt.Errorf("not the product %q", id)
		}
		if !pictureMark.Match(a.body) || !priceMark.Match(a.body) {
			return errors.New("the picture or the price is missing")
		}
		return nil
	}
}

// isCart checks that the cart holds so many things.
func isCart(count int) func(*answer) error {
	return func(a *answer) error {
		if err := isPage("cart")(a); err != nil {
			return err
		}
		if !bytes.Contains(a.body, fmt.Appendf(nil, `data-count="%d"`, count)) {
			return fmt.Errorf("the cart does not hold %d things", count)
		}
		return nil
	}
}

// hasLine checks that the cart holds so many of a product.
func hasLine(id string, quantity int) func(*answer) error {
	return func(a *answer) error {
		if err := isPage("cart")(a); err != nil {
			return err
		}
		if !bytes.Contains(a.body, fmt.Appendf(nil, `data-product="%s" data-quantity="%d"`, id, quantity)) {
			return fmt.Errorf("the cart does not hold %d of %q", quantity, id)
		}
		return nil
	}
}

// isOrder checks that an order was placed.
func isOrder(a *answer) error {
	if err := isPage("order")(a); err != nil {
		return err
	}
	if !orderMark.Match(a.body) || !parcelMark.Match(a.body) {
		return errors.New("the number of the order or of the parcel is missing")
	}
	return nil
}

// shows checks that a search has found a product.
func shows(id string) func(*answer) error {
	return func(a *answer) error {
		if err := isPage("search")(a); err != nil {
			return err
		}
		if !slices.Contains(productsOn(a), id) {
			return fmt.Errorf("the search has not found %q", id)
		}
		return nil
	}
}

// pricedIn checks that the prices of a page begin with a sign.
func pricedIn(sign string) func(*answer) error {
	return func(a *answer) error {
		prices := priceMark.FindAllSubmatch(a.body, -1)
		for _, price := range prices {
			if !strings.HasPrefix(string(price[1]), sign) {
				return fmt.Errorf("a price is %q, and not in %q", price[1], sign)
			}
		}
		if len(prices) == 0 {
			return errors.New("there are no prices")
		}
		return nil
	}
}

// isAsset checks that a file is of the type that it says it is.
func isAsset(a *answer) error {
	begin := map[string]string{
		"image/png":               "\x89PNG\r\n\x1a\n",
		"image/svg+xml":           "<svg ",
		"text/css; charset=utf-8": ":root",
	}
	kind := a.header.Get("Content-Type")
	if want, known := begin[kind]; !known || !bytes.HasPrefix(a.body, []byte(want)) {
		return fmt.Errorf("not a file of type %q", kind)
	}
	return nil
}

// productsOn returns the products that a page shows, each once.
func productsOn(a *answer) []string {
	var ids []string
	for _, match := range cardMark.FindAllSubmatch(a.body, -1) {
		if id := string(match[1]); !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return ids
}

func pictureOn(a *answer) string {
	return string(pictureMark.FindSubmatch(a.body)[1])
}

// excerpt returns the words of a page that say most about it.
func excerpt(body []byte) string {
	for _, tag := range []string{"h1", "title"} {
		_, rest, ok := bytes.Cut(body, []byte("<"+tag+">"))
		if inside, _, closed := bytes.Cut(rest, []byte("</"+tag+">")); ok && closed && len(inside) < 200 {
			return fmt.Sprintf("it says %q", inside)
		}
	}
	return fmt.Sprintf("it begins with %.80q", body)
}
