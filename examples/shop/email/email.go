// Package email writes to customers. The letters end in the log.
package email

import (
	"context"
	"fmt"
	"strings"

	"github.com/divisi-go/divisi"
	"github.com/divisi-go/divisi/examples/shop/trail"
)

// Email writes to customers.
type Email interface {
	// Confirm sends the confirmation of an order.
	Confirm(ctx context.Context, l Letter) (Sent, error)
}

// Better no letter than two.
var _ divisi.NotRetriable = Email.Confirm

// Sent is a letter that was sent.
type Sent struct {
	Bytes  int
	Served trail.Trail
}

type email struct {
	divisi.Implements[Email]
}

func (e *email) Confirm(ctx context.Context, l Letter) (Sent, error) {
	if err := CheckAddress(l.To); err != nil {
		return Sent{}, fmt.Errorf("cannot send a letter: %w", err)
	}
	text, err := write(l)
	if err != nil {
		return Sent{}, err
	}
	// Who reads the log need not know who buys what.
	_, domain, _ := strings.Cut(l.To, "@")
	e.Logger(ctx).Info("letter sent", "order", l.Order, "to", "…@"+domain, "bytes", len(text))
	return Sent{Bytes: len(text), Served: trail.Of(e.Self())}, nil
}
