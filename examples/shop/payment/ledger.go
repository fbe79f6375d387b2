package payment

import (
	"errors"
	"fmt"
	"sync"

	"github.com/divisi-go/divisi/examples/shop/money"
)

// ErrPaid is in the error of a charge for an order that was charged another amount before.
var ErrPaid = errors.New("the order has been paid already, with another amount")

// ledger stands for the bank. It books an order once: asked again, it returns what it has
// booked. A real bank takes the same key with every charge and keeps it on disk; this one
// forgets with its process.
type ledger struct {
	mu     sync.Mutex // guards booked
	booked map[string]money.Money
}

// book reports whether the amount was booked now, and not before.
func (l *ledger) book(order string, amount money.Money) (bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if before, ok := l.booked[order]; ok {
		if before != amount {
			return false, fmt.Errorf("%w: %v", ErrPaid, before)
		}
		return false, nil
	}
	if l.booked == nil {
		l.booked = map[string]money.Money{}
	}
	l.booked[order] = amount
	return true, nil
}
