package ads

import (
	"fmt"
	"testing"
)

func TestChoose(t *testing.T) {
	a := new(ads)
	seen := map[string]bool{}
	for i := range 200 {
		seed := fmt.Sprint("visitor ", i)
		ad, err := a.Choose(t.Context(), []string{"winds"}, "ocarina", seed)
		if err != nil || ad.Product != "recorder" {
			t.Fatalf("%q (%v), want the only other one of the category", ad.Product, err)
		}
		again, err := a.Choose(t.Context(), nil, "", seed)
		if err != nil {
			t.Fatal(err)
		}
		if once, _ := a.Choose(t.Context(), nil, "", seed); once.Text != again.Text {
			t.Fatalf("the same seed got %q and %q", once.Text, again.Text)
		}
		seen[again.Product] = true
		if other, err := a.Choose(t.Context(), []string{"nothing"}, "cello", seed); err != nil || other.Product == "cello" || other.Text == "" {
			t.Fatalf("an unknown category got %+v (%v)", other, err)
		}
	}
	if len(seen) != len(praises) {
		t.Errorf("%d of %d advertisements were chosen", len(seen), len(praises))
	}
}
