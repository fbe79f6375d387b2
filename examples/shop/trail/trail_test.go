package trail

import (
	"slices"
	"testing"

	"github.com/divisi-go/divisi"
)

func TestOf(t *testing.T) {
	checkout := divisi.Identity{Component: "checkout.Checkout", Replica: "shop/checkout/0", Pid: 10}
	cart0 := divisi.Identity{Component: "cart.Cart", Replica: "shop/cart/0", Pid: 11}
	cart1 := divisi.Identity{Component: "cart.Cart", Replica: "shop/cart/1", Pid: 12}
	got := Of(checkout, Trail{cart0, checkout}, nil, Trail{cart1, cart0})
	if want := (Trail{checkout, cart0, cart1}); !slices.Equal(got, want) {
		t.Errorf("trail %v, want %v", got, want)
	}
}
