package subject

import (
	"errors"
	"fmt"
	"testing"

	"github.com/divisi-go/divisi/cmd/divisi/console"
)

func TestChoose(t *testing.T) {
	shops := []string{"shop", "shop-2", "store"}
	for _, tt := range []struct {
		asked string
		names []string
		want  string // a name, or the beginning of an error
	}{
		{"", []string{"shop"}, "shop"},
		{"shop", shops, "shop"},
		{"shop-", shops, "shop-2"},
		{"st", shops, "store"},
		{"sh", shops, "2: several applications run: give one of shop, shop-2"},
		{"", shops, "2: several applications run: give one of shop, shop-2, store"},
		{"shpo", shops, `1: no application "shpo" runs: did you mean "shop"?`},
		{"shop", nil, "1: no application runs"},
	} {
		got := ""
		i, err := choose(tt.asked, tt.names)
		var coded *console.Error
		if errors.As(err, &coded) {
			got = fmt.Sprintf("%d: %v", coded.Code, err)
		} else {
			got = tt.names[i]
		}
		if got != tt.want {
			t.Errorf("%q of %v: got %s, want %s", tt.asked, tt.names, got, tt.want)
		}
	}
}
