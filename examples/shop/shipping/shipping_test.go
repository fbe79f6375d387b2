package shipping

import (
	"errors"
	"regexp"
	"strings"
	"testing"

	"github.com/divisi-go/divisi/examples/shop/money"
)

func TestCountries(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range Countries {
		if seen[c.Code] || len(c.Code) != 2 || c.Name == "" || c.zone >= len(zones) {
			t.Errorf("country %+v", c)
		}
		seen[c.Code] = true
	}
}

func TestQuote(t *testing.T) {
	for _, test := range []struct {
		country string
		grams   int
		want    money.Money
	}{
		{"AT", 0, money.Euro(3, 90)},
		{"AT", 1, money.Euro(4, 40)},
		{"AT", 1000, money.Euro(4, 40)},
		{"AT", 1001, money.Euro(4, 90)},
		{"CH", 2300, money.Euro(9, 20)},
		{"JP", 6800, money.Euro(48, 90)},
	} {
		got, err := new(shipping).Quote(t.Context(), test.country, test.grams)
		if err != nil || got.Price != test.want || got.Time == "" || len(got.Served) != 1 {
			t.Errorf("%d g to %s cost %v (%v), want %v", test.grams, test.country, got.Price, err, test.want)
		}
	}
	if _, err := new(shipping).Quote(t.Context(), "XX", 1); !errors.Is(err, ErrCountry) {
		t.Errorf("error %v, want ErrCountry", err)
	}
}

// TestPostageGrows checks that more weight never costs less.
func TestPostageGrows(t *testing.T) {
	for _, c := range Countries {
		before := int64(0)
		for grams := 0; grams < 50_000; grams += 137 {
			price, _, err := postage(c.Code, grams)
			if err != nil || price.Minor < before {
				t.Fatalf("%d g to %s cost %v (%v), less than %d cents", grams, c.Code, price, err, before)
			}
			before = price.Minor
		}
	}
}

var home = Address{Name: "Clara", Street: "Gasse 7", Postcode: "1070", City: "Wien", Country: "AT"}

func TestShip(t *testing.T) {
	s := new(shipping)
	first, err := s.Ship(t.Context(), "T-1", home)
	if err != nil || !regexp.MustCompile(`^TT-\d{4}-\d{4}-\d{4}$`).MatchString(first.Tracking) {
		t.Fatalf("tracking number %q (%v)", first.Tracking, err)
	}
	if again, err := s.Ship(t.Context(), "T-1", home); err != nil || again.Tracking != first.Tracking {
		t.Errorf("shipped again as %q (%v), want %q", again.Tracking, err, first.Tracking)
	}
	if other, err := s.Ship(t.Context(), "T-2", home); err != nil || other.Tracking == first.Tracking {
		t.Errorf("another order has the tracking number %q (%v) too", other.Tracking, err)
	}
}

func TestAddress(t *testing.T) {
	if err := home.Check(); err != nil {
		t.Error(err)
	}
	for name, spoil := range map[string]func(*Address){
		"name":     func(a *Address) { a.Name = "" },
		"street":   func(a *Address) { a.Street = " " },
		"postcode": func(a *Address) { a.Postcode = "\t" },
		"city":     func(a *Address) { a.City = strings.Repeat("x", maxField+1) },
	} {
		a := home
		spoil(&a)
		if _, err := new(shipping).Ship(t.Context(), "T-1", a); !errors.Is(err, ErrAddress) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: error %v, want ErrAddress that names it", name, err)
		}
	}
	a := home
	a.Country = "XX"
	if err := a.Check(); !errors.Is(err, ErrCountry) {
		t.Errorf("error %v, want ErrCountry", err)
	}
}
