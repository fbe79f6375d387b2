package shipping

import (
	"errors"
	"fmt"
	"strings"

	"github.com/divisi-go/divisi/examples/shop/money"
)

var (
	// ErrCountry is in the error of a request for a country to which the shop does not ship.
	ErrCountry = errors.New("no shipping to this country")

	// ErrAddress is in the error of a request with an address that no parcel would reach.
	ErrAddress = errors.New("incomplete address")
)

// Address is where a parcel goes.
type Address struct {
	Name     string
	Street   string
	Postcode string
	City     string
	Country  string // code of one of Countries
}

// maxField is how many bytes a line of an address has at most.
const maxField = 100

// Check returns an error that says what is wrong with an address.
func (a Address) Check() error {
	for _, field := range []struct{ name, value string }{
		{"name", a.Name}, {"street", a.Street}, {"postcode", a.Postcode}, {"city", a.City},
	} {
		if strings.TrimSpace(field.value) == "" {
			return fmt.Errorf("%w: the %s is missing", ErrAddress, field.name)
		}
		if len(field.value) > maxField {
			return fmt.Errorf("%w: the %s is too long", ErrAddress, field.name)
		}
	}
	_, err := zoneOf(a.Country)
	return err
}

// Country is one to which the shop ships.
type Country struct {
	Code string
	Name string
	zone int
}

// Countries are those to which the shop ships; the first one is where it is.
var Countries = []Country{
	{"AT", "Austria", 0},
	{"CH", "Switzerland", 1},
	{"CZ", "Czechia", 1},
	{"DE", "Germany", 1},
	{"FR", "France", 1},
	{"GB", "United Kingdom", 2},
	{"IT", "Italy", 1},
	{"JP", "Japan", 3},
	{"KW", "Kuwait", 3},
	{"SE", "Sweden", 2},
	{"US", "United States", 3},
}

// zone is a part of the world to which parcels cost the same.
type zone struct {
	parcel money.Money
	kilo   money.Money // for each kilogram begun
	days   string
}

var zones = []zone{
	{money.Euro(3, 90), money.Euro(0, 50), "1 to 2 working days"},
	{money.Euro(6, 50), money.Euro(0, 90), "2 to 4 working days"},
	{money.Euro(8, 90), money.Euro(1, 40), "3 to 6 working days"},
	{money.Euro(19, 50), money.Euro(4, 20), "6 to 10 working days"},
}

func zoneOf(country string) (zone, error) {
	for _, c := range Countries {
		if c.Code == country {
			return zones[c.zone], nil
		}
	}
	return zone{}, fmt.Errorf("%w: %q", ErrCountry, country)
}

// postage returns what a parcel costs, in euro, and how long it takes.
func postage(country string, grams int) (money.Money, string, error) {
	z, err := zoneOf(country)
	if err != nil {
		return money.Money{}, "", err
	}
	weight, err := z.kilo.Times((max(grams, 0) + 999) / 1000)
	if err != nil {
		return money.Money{}, "", err
	}
	price, err := money.Sum("EUR", z.parcel, weight)
	return price, z.days, err
}
