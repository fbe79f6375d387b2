package payment

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/divisi-go/divisi/examples/shop/money"
)

var good = Card{Number: "4242 4242 4242 4242", Expiry: "12/99", Code: "123"}

func TestCharge(t *testing.T) {
	p := new(payment)
	first, err := p.Charge(t.Context(), "T-1", money.Euro(10, 0), good)
	if err != nil || first.Transaction == "" || first.Card != "Visa ending in 4242" || len(first.Served) != 1 {
		t.Fatalf("receipt %+v (%v)", first, err)
	}
	again, err := p.Charge(t.Context(), "T-1", money.Euro(10, 0), good)
	if err != nil || again.Transaction != first.Transaction {
		t.Errorf("charged again: %+v (%v), want the first receipt", again, err)
	}
	if _, err := p.Charge(t.Context(), "T-1", money.Euro(11, 0), good); !errors.Is(err, ErrPaid) {
		t.Errorf("another amount: error %v, want ErrPaid", err)
	}
	if other, err := p.Charge(t.Context(), "T-2", money.Euro(11, 0), good); err != nil || other.Transaction == first.Transaction {
		t.Errorf("another order: %+v (%v)", other, err)
	}
}

func TestChargeRefusals(t *testing.T) {
	p := new(payment)
	if _, err := p.Charge(t.Context(), "", money.Euro(1, 0), good); err == nil {
		t.Error("charged without an order")
	}
	for _, amount := range []money.Money{{}, money.Euro(0, 0), money.Euro(-1, 0), {Currency: "XXX", Minor: 1}, {Currency: "EUR", Minor: money.Max + 1}} {
		if _, err := p.Charge(t.Context(), "T-1", amount, good); !errors.Is(err, money.ErrRange) {
			t.Errorf("charged %v: %v", amount, err)
		}
	}
	bad := good
	bad.Number = refused
	var declined Declined
	if _, err := p.Charge(t.Context(), "T-1", money.Euro(1, 0), bad); !errors.As(err, &declined) {
		t.Errorf("error %v, want Declined", err)
	}
	if len(p.ledger.booked) != 0 {
		t.Errorf("booked %v", p.ledger.booked)
	}
}

// TestLedgerBooksOnce lets many charge one order at the same time.
func TestLedgerBooksOnce(t *testing.T) {
	var l ledger
	var wait sync.WaitGroup
	var firsts atomic.Int32
	for range 50 {
		wait.Go(func() {
			first, err := l.book("T-1", money.Euro(5, 0))
			if err != nil {
				t.Error(err)
			}
			if first {
				firsts.Add(1)
			}
		})
	}
	wait.Wait()
	if n := firsts.Load(); n != 1 {
		t.Errorf("booked %d times", n)
	}
}

func TestCheckCard(t *testing.T) {
	now := time.Date(2031, time.April, 30, 23, 59, 0, 0, time.UTC)
	for _, card := range []Card{
		good,
		{"4242424242424242", "04/31", "000"},
		{"4432-8015-6152-0454", "04/31", "000"},
		{"5555 5555 5555 4444", "05/31", "999"},
		{"2223003122003222", "01/68", "111"},
	} {
		if err := card.Check(now); err != nil {
			t.Errorf("%v: %v", card, err)
		}
	}
	for name, card := range map[string]Card{
		"empty":          {},
		"wrong digit":    {"4242424242424241", "12/99", "123"},
		"letters":        {"4242x24242424242", "12/99", "123"},
		"too short":      {"4242", "12/99", "123"},
		"too long":       {"42424242424242424242", "12/99", "123"},
		"other brand":    {"378282246310005", "12/99", "123"},
		"no code":        {"4242424242424242", "12/99", ""},
		"long code":      {"4242424242424242", "12/99", "1234"},
		"code of words":  {"4242424242424242", "12/99", "abc"},
		"no expiry":      {"4242424242424242", "", "123"},
		"thirteenth":     {"4242424242424242", "13/40", "123"},
		"expired":        {"4242424242424242", "03/31", "123"},
		"expiry in full": {"4242424242424242", "04/2031", "123"},
	} {
		var declined Declined
		if err := card.Check(now); !errors.As(err, &declined) || declined.Reason == "" {
			t.Errorf("%s: error %v, want Declined with a reason", name, err)
		}
	}
	if err := good.Check(now.AddDate(0, 0, 1)); err != nil {
		t.Errorf("a card is good for all of its last month: %v", err)
	}
	short := Card{Number: "12"}
	if got := short.String(); got != " ending in 12" {
		t.Errorf("a short card is written %q", got)
	}
}
