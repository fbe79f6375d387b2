// Package payment charges cards. No bank is involved: see ledger.
package payment

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/divisi-go/divisi"
	"github.com/divisi-go/divisi/examples/shop/money"
	"github.com/divisi-go/divisi/examples/shop/trail"
)

// Payment charges cards.
type Payment interface {
	// Charge charges a card for an order, once: a second charge for the same order returns the
	// receipt of the first, or ErrPaid if the amount differs. The error of a card that cannot be
	// charged is a Declined.
	Charge(ctx context.Context, order string, amount money.Money, card Card) (Receipt, error)
}

// A charge whose answer is lost is not sent again behind the shop's back. Somebody who knows
// what the order's key is for may send it again.
var _ divisi.NotRetriable = Payment.Charge

// Receipt is a charge.
type Receipt struct {
	Transaction string
	Card        string // as "Visa ending in 4242"
	Served      trail.Trail
}

type payment struct {
	divisi.Implements[Payment]
	divisi.WithRouter[router]
	ledger ledger
}

// router sends all charges for an order to the replica whose ledger knows it.
type router struct{}

func (router) Charge(_ context.Context, order string, _ money.Money, _ Card) string { return order }

func (p *payment) Charge(ctx context.Context, order string, amount money.Money, card Card) (Receipt, error) {
	if order == "" {
		return Receipt{}, errors.New("cannot charge without an order")
	}
	if err := amount.Check(); err != nil || amount.Minor <= 0 {
		return Receipt{}, fmt.Errorf("cannot charge %v: %w", amount, errors.Join(money.ErrRange, err))
	}
	if err := card.Check(time.Now()); err != nil {
		return Receipt{}, err
	}
	if card.digits() == refused {
		return Receipt{}, Declined{"The bank refuses this card."}
	}
	first, err := p.ledger.book(order, amount)
	if err != nil {
		return Receipt{}, err
	}
	transaction := transactionID(order)
	if first {
		p.Logger(ctx).Info("card charged",
			"order", order, "transaction", transaction, "amount", amount.String(), "card", card.String())
	}
	return Receipt{Transaction: transaction, Card: card.String(), Served: trail.Of(p.Self())}, nil
}

func transactionID(order string) string {
	sum := sha256.Sum256([]byte("charge for " + order))
	return fmt.Sprintf("%x", sum[:8])
}
