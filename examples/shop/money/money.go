// Package money is exact money: whole minor units of a currency, and no floating point.
package money

import (
	"errors"
	"fmt"
	"math/bits"
	"strconv"
	"strings"
)

// Max is the largest amount, in minor units, that may be positive or negative. It leaves room
// for every product and conversion below to be exact.
const Max = 1_000_000_000_000_000

var (
	// ErrCurrency is in the error of an operation on a currency that the shop does not know, or
	// on two that differ.
	ErrCurrency = errors.New("wrong currency")

	// ErrRange is in the error of an operation whose result is larger than Max.
	ErrRange = errors.New("amount out of range")
)

// Money is an amount of money. The zero value is nothing, of no currency.
type Money struct {
	Currency string // ISO 4217, as "EUR"
	Minor    int64  // in the smallest unit of the currency, as cents
}

// currency says how amounts are counted and written.
type currency struct {
	code   string
	name   string
	prefix string
	digits int // decimal places of the minor unit
}

// currencies are what the shop counts in, in the order in which they are offered.
var currencies = []currency{
	{"EUR", "Euro", "€", 2},
	{"USD", "US dollar", "$", 2},
	{"GBP", "Pound sterling", "£", 2},
	{"CHF", "Swiss franc", "CHF\u00a0", 2},
	{"JPY", "Japanese yen", "¥", 0},
	{"KWD", "Kuwaiti dinar", "KWD\u00a0", 3},
}

func find(code string) (currency, error) {
	for _, c := range currencies {
		if c.code == code {
			return c, nil
		}
	}
	return currency{}, fmt.Errorf("%w: %q is not one that the shop knows", ErrCurrency, code)
}

// Known reports whether the shop counts in a currency.
func Known(code string) bool {
	_, err := find(code)
	return err == nil
}

// Name returns the English name of a currency, or its code if the shop does not know it.
func Name(code string) string {
	if c, err := find(code); err == nil {
		return c.name
	}
	return code
}

// Codes returns the currencies that the shop knows.
func Codes() []string {
	var codes []string
	for _, c := range currencies {
		codes = append(codes, c.code)
	}
	return codes
}

// Euro returns an amount in euro.
func Euro(units, cents int64) Money { return Money{Currency: "EUR", Minor: units*100 + cents} }

// Check returns an error unless the currency is known and the amount in range.
func (m Money) Check() error {
	if _, err := find(m.Currency); err != nil {
		return err
	}
	return inRange(m.Minor)
}

func inRange(minor int64) error {
	if minor > Max || minor < -Max {
		return fmt.Errorf("%w: more than %d minor units", ErrRange, int64(Max))
	}
	return nil
}

// Sum adds amounts of one currency; without any it is nothing of the given currency.
func Sum(code string, amounts ...Money) (Money, error) {
	total := Money{Currency: code}
	for _, m := range amounts {
		if m.Currency != code {
			return Money{}, fmt.Errorf("%w: cannot add %s to %s", ErrCurrency, m.Currency, code)
		}
		if err := inRange(m.Minor); err != nil {
			return Money{}, err
		}
		total.Minor += m.Minor
		if err := inRange(total.Minor); err != nil {
			return Money{}, err
		}
	}
	return total, total.Check()
}

// Times returns n times the amount.
func (m Money) Times(n int) (Money, error) {
	hi, lo := bits.Mul64(magnitude(m.Minor), magnitude(int64(n)))
	if hi != 0 || lo > Max {
		return Money{}, fmt.Errorf("%w: %d times %v", ErrRange, n, m)
	}
	return Money{Currency: m.Currency, Minor: signed(lo, (m.Minor < 0) != (n < 0))}, nil
}

// Convert changes the amount into another currency. Rates are what one unit of a reference
// currency costs, in millionths: from is that of the amount's currency, to that of the other.
// The result is rounded once, half to even, so that many conversions have no bias.
func (m Money) Convert(code string, from, to int64) (Money, error) {
	source, err := find(m.Currency)
	if err != nil {
		return Money{}, err
	}
	target, err := find(code)
	if err != nil {
		return Money{}, err
	}
	if err := inRange(m.Minor); err != nil {
		return Money{}, err
	}
	if from <= 0 || to <= 0 || from > maxRate || to > maxRate {
		return Money{}, fmt.Errorf("%w: no rate from %s to %s", ErrCurrency, m.Currency, code)
	}
	if m.Currency == code {
		return m, nil
	}
	numerator := uint64(to) * power10(target.digits)
	denominator := uint64(from) * power10(source.digits)
	hi, lo := bits.Mul64(magnitude(m.Minor), numerator)
	if hi >= denominator {
		return Money{}, fmt.Errorf("%w: %v in %s", ErrRange, m, code)
	}
	quotient, rest := bits.Div64(hi, lo, denominator)
	if left := denominator - rest; rest > left || rest == left && quotient%2 == 1 {
		quotient++
	}
	if quotient > Max {
		return Money{}, fmt.Errorf("%w: %v in %s", ErrRange, m, code)
	}
	return Money{Currency: code, Minor: signed(quotient, m.Minor < 0)}, nil
}

// maxRate keeps a rate times the largest power of ten below 64 bits.
const maxRate = 1_000_000_000_000_000

func power10(n int) uint64 {
	p := uint64(1)
	for range n {
		p *= 10
	}
	return p
}

func magnitude(n int64) uint64 {
	if n < 0 {
		return -uint64(n)
	}
	return uint64(n)
}

func signed(n uint64, negative bool) int64 {
	if negative {
		return -int64(n)
	}
	return int64(n)
}

// String writes the amount for people, as "€1,289.00".
func (m Money) String() string {
	c, err := find(m.Currency)
	if err != nil {
		return fmt.Sprintf("%d minor units of %q", m.Minor, m.Currency)
	}
	digits := strconv.FormatUint(magnitude(m.Minor), 10)
	if short := c.digits + 1 - len(digits); short > 0 {
		digits = strings.Repeat("0", short) + digits
	}
	whole, fraction := digits[:len(digits)-c.digits], digits[len(digits)-c.digits:]
	var b strings.Builder
	if m.Minor < 0 {
		b.WriteString("−")
	}
	b.WriteString(c.prefix)
	for i, digit := range whole {
		if i > 0 && (len(whole)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(digit)
	}
	if fraction != "" {
		b.WriteByte('.')
		b.WriteString(fraction)
	}
	return b.String()
}
