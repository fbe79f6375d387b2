package currency

import (
	"errors"
	"slices"
	"testing"

	"github.com/divisi-go/divisi/examples/shop/money"
)

func TestEveryCurrencyHasARate(t *testing.T) {
	for _, code := range money.Codes() {
		if rates[code] <= 0 {
			t.Errorf("no rate for %s", code)
		}
	}
	if len(rates) != len(money.Codes()) {
		t.Errorf("%d rates for %d currencies", len(rates), len(money.Codes()))
	}
}

func TestConvert(t *testing.T) {
	got, err := new(currency).Convert(t.Context(), []money.Money{
		money.Euro(100, 0), {Currency: "JPY", Minor: 16135}, {Currency: "USD", Minor: 10845},
	}, "USD")
	want := []money.Money{
		{Currency: "USD", Minor: 10845}, {Currency: "USD", Minor: 10845}, {Currency: "USD", Minor: 10845},
	}
	if err != nil || !slices.Equal(got.Amounts, want) {
		t.Errorf("converted %v (%v), want %v", got.Amounts, err, want)
	}
	if len(got.Served) != 1 {
		t.Errorf("served by %v, want one component", got.Served)
	}
}

func TestConvertUnknown(t *testing.T) {
	if _, err := new(currency).Convert(t.Context(), []money.Money{money.Euro(1, 0)}, "XXX"); !errors.Is(err, money.ErrCurrency) {
		t.Errorf("error %v, want ErrCurrency", err)
	}
}

// TestThereAndBack checks that changing money and changing it back loses at most what rounding
// in the coarser currency must lose.
func TestThereAndBack(t *testing.T) {
	c := new(currency)
	for _, code := range money.Codes() {
		for cents := int64(1); cents < 100_000; cents = cents*3 + 1 {
			before := money.Money{Currency: "EUR", Minor: cents}
			there, err := c.Convert(t.Context(), []money.Money{before}, code)
			if err != nil {
				t.Fatal(err)
			}
			back, err := c.Convert(t.Context(), there.Amounts, "EUR")
			if err != nil {
				t.Fatal(err)
			}
			if off := back.Amounts[0].Minor - cents; off < -1 || off > 1 {
				t.Errorf("%v is %v is %v", before, there.Amounts[0], back.Amounts[0])
			}
		}
	}
}
