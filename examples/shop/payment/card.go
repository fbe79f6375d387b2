package payment

import (
	"fmt"
	"strings"
	"time"
)

// Card is a payment card.
type Card struct {
	Number string // digits, and spaces or dashes anywhere between them
	Expiry string // MM/YY
	Code   string // the three digits on the back
}

// Declined is the error of a card that cannot be charged. Nothing was charged.
type Declined struct {
	Reason string // a sentence for the customer
}

// Error implements error.
func (d Declined) Error() string { return "card declined: " + d.Reason }

// refused is a number that passes every check and that the bank refuses, for demonstrations.
const refused = "4000000000000002"

// Check returns a Declined error unless the card looks valid.
func (c Card) Check(now time.Time) error {
	digits := c.digits()
	switch {
	case len(digits) < 13 || len(digits) > 19 || !luhn(digits):
		return Declined{"The card number is not valid."}
	case c.Brand() == "":
		return Declined{"We take Visa and Mastercard only."}
	case !isDigits(c.Code) || len(c.Code) != 3:
		return Declined{"The security code has three digits."}
	}
	expires, err := time.Parse("01/06", strings.TrimSpace(c.Expiry))
	if err != nil {
		return Declined{"The expiry date is a month and a year, as in 04/31."}
	}
	if year := expires.Year(); year < 2000 {
		expires = expires.AddDate(100, 0, 0) // two digits are of this century
	}
	if !now.Before(expires.AddDate(0, 1, 0)) {
		return Declined{"The card has expired."}
	}
	return nil
}

// Brand returns who issued the card, or "" if the shop does not take such cards.
func (c Card) Brand() string {
	digits := c.digits()
	switch {
	case strings.HasPrefix(digits, "4"):
		return "Visa"
	case len(digits) >= 4 && (digits[:2] >= "51" && digits[:2] <= "55" || digits[:4] >= "2221" && digits[:4] <= "2720"):
		return "Mastercard"
	}
	return ""
}

// String names the card in a way that can be shown and logged.
func (c Card) String() string {
	digits := c.digits()
	return fmt.Sprintf("%s ending in %s", c.Brand(), digits[max(0, len(digits)-4):])
}

func (c Card) digits() string { return strings.NewReplacer(" ", "", "-", "").Replace(c.Number) }

func isDigits(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r < '0' || r > '9' }) < 0
}

// luhn reports whether the check digit at the end of a number is right (ISO/IEC 7812).
func luhn(digits string) bool {
	if !isDigits(digits) {
		return false
	}
	sum := 0
	for i := range len(digits) {
		d := int(digits[len(digits)-1-i] - '0')
		if i%2 == 1 {
			if d *= 2; d > 9 {
				d -= 9
			}
		}
		sum += d
	}
	return sum%10 == 0
}
