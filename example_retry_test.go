package divisi_test

import (
	"context"
	"fmt"
	"log"
	"sync/atomic"

	"github.com/divisi-go/divisi"
)

// Payment is a component one of whose methods must not be executed twice.
type Payment interface {
	Charge(ctx context.Context, cents int) error
	Total(ctx context.Context) (int, error)
}

// If the connection breaks during a call of Charge, the caller gets divisi.RemoteCallError. A call
// of Total is made again.
var _ divisi.NotRetriable = Payment.Charge

type payment struct {
	divisi.Implements[Payment]
	cents atomic.Int64
}

func (p *payment) Charge(_ context.Context, cents int) error {
	p.cents.Add(int64(cents))
	return nil
}

func (p *payment) Total(context.Context) (int, error) { return int(p.cents.Load()), nil }

type till struct {
	divisi.Implements[divisi.Main]
	payment divisi.Ref[Payment]
}

func ExampleNotRetriable() {
	err := divisi.Run(context.Background(), func(ctx context.Context, t *till) error {
		if err := t.payment.Get().Charge(ctx, 250); err != nil {
			return err
		}
		total, err := t.payment.Get().Total(ctx)
		fmt.Println(total)
		return err
	})
	if err != nil {
		log.Fatal(err)
	}
	// Output: 250
}
