package identity

import (
	"net/url"
	"strings"
	"testing"

	"github.com/divisi-go/divisi/internal/name"
)

func TestURI(t *testing.T) {
	for text, want := range map[string]name.Server{
		"spiffe://divisi/shop/cart-0":       {Name: "cart-0", Domain: "/shop"},
		"spiffe://divisi/shop/eu/www/cart0": {Name: "cart0", Domain: "/shop/eu/www"},
		"spiffe://divisi/divisi":            {Name: "divisi", Domain: "/"},
	} {
		if got := URI(want).String(); got != text {
			t.Errorf("the identity of %v is %s, want %s", want, got, text)
		}
		uri, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := ParseURI(uri); got != want || err != nil {
			t.Errorf("%s is the identity of %v, %v; want %v", text, got, err, want)
		}
	}

	for text, want := range map[string]string{
		"spiffe://elsewhere/shop/cart-0":  "no identity of spiffe://divisi",
		"https://divisi/shop/cart-0":      "no identity of spiffe://divisi",
		"spiffe://divisi":                 "names no server",
		"spiffe://divisi/":                "names no server",
		"spiffe://divisi/shop//cart-0":    "names no server",
		"spiffe://divisi/shop/cart-0/":    "names no server",
		"spiffe://divisi/shop/../cart-0":  "names no server",
		"spiffe:shop/cart-0":              "no identity of spiffe://divisi",
		"spiffe://divisi/shop/cart-0?a=b": "written in another way",
		"spiffe://divisi/sh%6fp/cart-0":   "written in another way",
		"spiffe://me@divisi/shop/cart-0":  "written in another way",
	} {
		uri, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := ParseURI(uri); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s is the identity of %v, %v; want an error with %q", text, got, err, want)
		}
	}
}

func TestRights(t *testing.T) {
	var unlimited *Rights
	some := NewRights([]string{"a", "b"})
	for _, c := range []struct {
		rights    *Rights
		component string
		want      bool
	}{
		{unlimited, "a", true}, {some, "a", true}, {some, "b", true}, {some, "c", false}, {NewRights(nil), "a", false},
	} {
		if c.rights.May(c.component) != c.want {
			t.Errorf("a peer with the rights %v may call %s: %v", c.rights, c.component, !c.want)
		}
	}
}
