package cart

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/divisi-go/divisi"
	"github.com/divisi-go/divisi/examples/shop/catalog"
	"github.com/divisi-go/divisi/examples/shop/currency"
	"github.com/divisi-go/divisi/examples/shop/money"
	"github.com/divisi-go/divisi/examples/shop/trail"
)

// shelf is a catalogue of a drum for 10 euro and a flute for 2.55.
type shelf struct{ catalog.Catalog }

func (shelf) Lookup(_ context.Context, ids []string) (catalog.Products, error) {
	found := catalog.Products{Served: trail.Trail{{Component: "catalog"}}}
	for _, id := range ids {
		switch id {
		case "drum":
			found.List = append(found.List, catalog.Product{ID: id, Price: money.Euro(10, 0), Grams: 900})
		case "flute":
			found.List = append(found.List, catalog.Product{ID: id, Price: money.Euro(2, 55), Grams: 100})
		}
	}
	return found, nil
}

// exchange gives one yen for a cent and a half.
type exchange struct{}

func (exchange) Convert(_ context.Context, amounts []money.Money, code string) (currency.Converted, error) {
	done := currency.Converted{Served: trail.Trail{{Component: "currency"}}}
	for _, amount := range amounts {
		to := int64(1_000_000)
		if code == "JPY" {
			to = 66_666_667
		}
		converted, err := amount.Convert(code, 1_000_000, to)
		if err != nil {
			return currency.Converted{}, err
		}
		done.Amounts = append(done.Amounts, converted)
	}
	return done, nil
}

func TestPrice(t *testing.T) {
	r := Request{User: "somebody", Currency: "JPY", Lines: []Line{{"flute", 3}, {"lyre", 1}, {"drum", 2}}}
	got, err := price(t.Context(), r, shelf{}, exchange{})
	if err != nil {
		t.Fatal(err)
	}
	if want := []Line{{"flute", 3}, {"drum", 2}}; !slices.Equal(got.Lines, want) {
		t.Errorf("lines %v, want %v: the lyre is no longer sold", got.Lines, want)
	}
	// 255 cents are 170 yen, 1000 cents are 667.
	if want := (money.Money{Currency: "JPY", Minor: 3*170 + 2*667}); got.Subtotal != want {
		t.Errorf("subtotal %v, want %v", got.Subtotal, want)
	}
	if got.Count != 5 || got.Grams != 3*100+2*900 {
		t.Errorf("%d things of %d g, want 5 of 2100 g", got.Count, got.Grams)
	}
	if len(got.Served) != 2 {
		t.Errorf("served by %v, want catalog and currency", got.Served)
	}
	sum := money.Money{Currency: "JPY"}
	for _, item := range got.Items {
		sum.Minor += item.Total.Minor
	}
	if sum != got.Subtotal {
		t.Errorf("the lines add up to %v, and the subtotal is %v", sum, got.Subtotal)
	}
}

func TestPriceOfNothing(t *testing.T) {
	got, err := price(t.Context(), Request{User: "somebody", Currency: "EUR"}, nil, nil)
	if err != nil || got.Count != 0 || got.Subtotal.String() != "€0.00" {
		t.Errorf("an empty cart has %d things for %v (%v)", got.Count, got.Subtotal, err)
	}
}

func TestPriceDropsImpossibleLines(t *testing.T) {
	r := Request{User: "somebody", Currency: "EUR", Lines: []Line{
		{"drum", -5}, {"flute", MaxQuantity + 1}, {"flute", 1}, {"flute", 2}, {"drum", 0},
	}}
	got, err := price(t.Context(), r, shelf{}, exchange{})
	if want := []Line{{"flute", 1}}; err != nil || !slices.Equal(got.Lines, want) {
		t.Errorf("lines %v (%v), want %v", got.Lines, err, want)
	}
}

func TestMerge(t *testing.T) {
	before := []Line{{"drum", 1}, {"flute", 19}}
	for _, test := range []struct {
		change Change
		want   []Line
	}{
		{Change{"drum", 2, true}, []Line{{"drum", 3}, {"flute", 19}}},
		{Change{"drum", 2, false}, []Line{{"drum", 2}, {"flute", 19}}},
		{Change{"lyre", 1, true}, []Line{{"drum", 1}, {"flute", 19}, {"lyre", 1}}},
		{Change{"lyre", 1, false}, []Line{{"drum", 1}, {"flute", 19}, {"lyre", 1}}},
		{Change{"drum", 0, false}, []Line{{"flute", 19}}},
		{Change{"lyre", 0, false}, before},
		{Change{"drum", 0, true}, before},
		{Change{"flute", 1, true}, []Line{{"drum", 1}, {"flute", 20}}},
	} {
		got, err := merge(before, test.change)
		if err != nil || !slices.Equal(got, test.want) {
			t.Errorf("%+v makes %v (%v), want %v", test.change, got, err, test.want)
		}
	}
	for _, change := range []Change{
		{"flute", 2, true}, {"flute", 21, false}, {"drum", -1, true}, {"drum", -1, false}, {"lyre", math.MaxInt, true},
	} {
		if got, err := merge(before, change); !errors.Is(err, ErrQuantity) {
			t.Errorf("%+v makes %v (%v), want ErrQuantity", change, got, err)
		}
	}
	if want := []Line{{"drum", 1}, {"flute", 19}}; !slices.Equal(before, want) {
		t.Errorf("merge has changed its argument to %v", before)
	}
}

func TestMergeBoundsLines(t *testing.T) {
	var lines []Line
	for i := range MaxLines {
		lines = append(lines, Line{fmt.Sprint(i), 1})
	}
	if _, err := merge(lines, Change{"one more", 1, true}); !errors.Is(err, ErrQuantity) {
		t.Errorf("error %v, want ErrQuantity", err)
	}
	if _, err := merge(lines, Change{"3", 1, true}); err != nil {
		t.Error(err)
	}
}

func TestMemory(t *testing.T) {
	var m memory
	r := Request{User: "somebody", Currency: "EUR", Lines: []Line{{"drum", 1}}}
	m.put(r, Contents{Count: 1, Served: trail.Trail{{Component: "catalog"}}})
	got, ok := m.get(r)
	if !ok || got.Count != 1 || len(got.Served) != 0 {
		t.Errorf("remembered %+v (%v), want one thing and nobody who served it", got, ok)
	}
	for name, other := range map[string]Request{
		"other lines":    {User: "somebody", Currency: "EUR", Lines: []Line{{"drum", 2}}},
		"other currency": {User: "somebody", Currency: "JPY", Lines: []Line{{"drum", 1}}},
		"other user":     {User: "other", Currency: "EUR", Lines: []Line{{"drum", 1}}},
	} {
		if _, ok := m.get(other); ok {
			t.Errorf("%s: the answer to another question", name)
		}
	}
	for i := range 2 * maxCustomers {
		m.put(Request{User: fmt.Sprint(i)}, Contents{})
	}
	if len(m.last) > maxCustomers {
		t.Errorf("%d customers are remembered, want at most %d", len(m.last), maxCustomers)
	}
}

// TestViewFromMemory checks that the second answer is the same and asks nobody.
func TestViewFromMemory(t *testing.T) {
	c := new(cart)
	r := Request{User: "somebody", Currency: "EUR", Lines: []Line{{"drum", 1}}}
	first, err := price(t.Context(), r, shelf{}, exchange{})
	if err != nil {
		t.Fatal(err)
	}
	c.memory.put(r, first)
	got, err := c.View(t.Context(), r)
	if err != nil || got.Subtotal != first.Subtotal || !slices.Equal(got.Served, trail.Trail{divisi.Identity{}}) {
		t.Errorf("got %v served by %v (%v), want %v served by the cart", got.Subtotal, got.Served, err, first.Subtotal)
	}
}
