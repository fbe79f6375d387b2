package money

import (
	"errors"
	"math/big"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestString(t *testing.T) {
	for _, test := range []struct {
		money Money
		want  string
	}{
		{Euro(0, 0), "€0.00"},
		{Euro(0, 5), "€0.05"},
		{Euro(1289, 0), "€1,289.00"},
		{Money{"EUR", -123}, "−€1.23"},
		{Money{"JPY", 46240}, "¥46,240"},
		{Money{"JPY", 7}, "¥7"},
		{Money{"KWD", 96330}, "KWD\u00a096.330"},
		{Money{"USD", 123456789}, "$1,234,567.89"},
		{Money{"XXX", 5}, `5 minor units of "XXX"`},
	} {
		if got := test.money.String(); got != test.want {
			t.Errorf("%#v is written %q, want %q", test.money, got, test.want)
		}
	}
}

func TestErrors(t *testing.T) {
	euro := Euro(1, 0)
	for name, err := range map[string]error{
		"mixed sum":       second(Sum("EUR", euro, Money{"USD", 1})),
		"unknown sum":     second(Sum("XXX")),
		"unknown source":  second(Money{"XXX", 1}.Convert("EUR", 1, 1)),
		"unknown target":  second(euro.Convert("XXX", 1, 1)),
		"no rate":         second(euro.Convert("USD", 0, 1)),
		"negative rate":   second(euro.Convert("USD", 1, -1)),
		"unknown checked": Money{"", 1}.Check(),
	} {
		if !errors.Is(err, ErrCurrency) {
			t.Errorf("%s: error %v, want ErrCurrency", name, err)
		}
	}
	for name, err := range map[string]error{
		"sum":        second(Sum("EUR", Money{"EUR", Max}, euro)),
		"one":        second(Sum("EUR", Money{"EUR", Max + 1}, Money{"EUR", -5})),
		"times":      second(Money{"EUR", Max}.Times(2)),
		"times back": second(Money{"EUR", Max}.Times(-2)),
		"convert":    second(Money{"EUR", Max}.Convert("USD", 1, 2)),
		"overflow":   second(Money{"EUR", Max}.Convert("KWD", 1, maxRate)),
		"checked":    Money{"EUR", -Max - 1}.Check(),
	} {
		if !errors.Is(err, ErrRange) {
			t.Errorf("%s: error %v, want ErrRange", name, err)
		}
	}
}

func second(_ Money, err error) error { return err }

func TestConvertRoundsHalfToEven(t *testing.T) {
	for _, test := range []struct{ minor, want int64 }{
		{1, 0}, {3, 2}, {5, 2}, {7, 4}, {-1, 0}, {-3, -2}, {-5, -2}, {2, 1}, {-2, -1},
	} {
		got, err := Money{"EUR", test.minor}.Convert("USD", 2, 1)
		if err != nil || got.Minor != test.want {
			t.Errorf("half of %d cents is %d (%v), want %d", test.minor, got.Minor, err, test.want)
		}
	}
}

// TestConvertProperties compares with exact fractions: the result is the nearest amount, the
// order of amounts is kept, and a sign changes nothing else.
func TestConvertProperties(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	codes := Codes()
	for range 20_000 {
		m := Money{codes[random.IntN(len(codes))], random.Int64N(1e8) - 5e7}
		code := codes[random.IntN(len(codes))]
		from, to := 1e4+random.Int64N(2e8), 1e4+random.Int64N(2e8)
		if m.Currency == code {
			to = from
		}
		got, err := m.Convert(code, from, to)
		if err != nil {
			t.Fatalf("%v to %s at %d/%d: %v", m, code, to, from, err)
		}
		source, _ := find(m.Currency)
		target, _ := find(code)
		exact := new(big.Rat).Mul(big.NewRat(m.Minor, int64(power10(source.digits))), big.NewRat(to, from))
		exact.Mul(exact, new(big.Rat).SetInt64(int64(power10(target.digits))))
		off := new(big.Rat).Sub(exact, new(big.Rat).SetInt64(got.Minor))
		if off.Abs(off).Cmp(big.NewRat(1, 2)) > 0 {
			t.Fatalf("%v to %s at %d/%d is %v: off by %v minor units", m, code, to, from, got, off)
		}
		negative, err := Money{m.Currency, -m.Minor}.Convert(code, from, to)
		if err != nil || negative.Minor != -got.Minor {
			t.Fatalf("−%v to %s is %v (%v), want −%v", m, code, negative, err, got)
		}
		more, err := Money{m.Currency, m.Minor + 1 + random.Int64N(1000)}.Convert(code, from, to)
		if err != nil || more.Minor < got.Minor {
			t.Fatalf("more than %v is %v (%v), less than %v", m, more, err, got)
		}
	}
}

// TestSumProperties checks that sums do not depend on order, and that n times an amount is the
// sum of n of it.
func TestSumProperties(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for range 2_000 {
		var amounts []Money
		for range random.IntN(10) {
			amounts = append(amounts, Money{"CHF", random.Int64N(1e9) - 5e8})
		}
		sum, err := Sum("CHF", amounts...)
		if err != nil {
			t.Fatal(err)
		}
		slices.Reverse(amounts)
		if again, err := Sum("CHF", amounts...); err != nil || again != sum {
			t.Fatalf("the sum of %v is %v one way and %v (%v) the other", amounts, sum, again, err)
		}
		one, n := Money{"CHF", random.Int64N(1e9) - 5e8}, random.IntN(20)
		times, err := one.Times(n)
		if err != nil {
			t.Fatal(err)
		}
		if added, err := Sum("CHF", slices.Repeat([]Money{one}, n)...); err != nil || added != times {
			t.Fatalf("%d times %v is %v, added up %v (%v)", n, one, times, added, err)
		}
	}
}
