// Package shipping says what a parcel costs, and sends it off.
package shipping

import (
	"context"
	"crypto/sha256"
	"fmt"

	"github.com/divisi-go/divisi"
	"github.com/divisi-go/divisi/examples/shop/money"
	"github.com/divisi-go/divisi/examples/shop/trail"
)

// Shipping sends parcels.
type Shipping interface {
	// Quote says what a parcel of some weight costs.
	Quote(ctx context.Context, country string, grams int) (Quote, error)

	// Ship sends off the parcel of an order. Asked twice for an order it returns the same
	// shipment.
	Ship(ctx context.Context, order string, to Address) (Shipment, error)
}

// Quote is what a parcel costs and how long it takes.
type Quote struct {
	Price  money.Money // in euro
	Time   string      // as "2 to 4 working days"
	Served trail.Trail
}

// Shipment is a parcel on its way.
type Shipment struct {
	Tracking string
	Served   trail.Trail
}

type shipping struct {
	divisi.Implements[Shipping]
}

func (s *shipping) Quote(_ context.Context, country string, grams int) (Quote, error) {
	price, time, err := postage(country, grams)
	if err != nil {
		return Quote{}, fmt.Errorf("cannot quote shipping: %w", err)
	}
	return Quote{Price: price, Time: time, Served: trail.Of(s.Self())}, nil
}

func (s *shipping) Ship(ctx context.Context, order string, to Address) (Shipment, error) {
	if err := to.Check(); err != nil {
		return Shipment{}, fmt.Errorf("cannot ship: %w", err)
	}
	tracking := trackingNumber(order)
	s.Logger(ctx).Info("parcel sent", "order", order, "tracking", tracking, "country", to.Country)
	return Shipment{Tracking: tracking, Served: trail.Of(s.Self())}, nil
}

// trackingNumber is derived from the order, so that any replica gives an order the same.
func trackingNumber(order string) string {
	sum := sha256.Sum256([]byte("parcel of " + order))
	return fmt.Sprintf("TT-%04d-%04d-%04d", number(sum[0:2]), number(sum[2:4]), number(sum[4:6]))
}

func number(b []byte) int { return (int(b[0])<<8 | int(b[1])) % 10_000 }
