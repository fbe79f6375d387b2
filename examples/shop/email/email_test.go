package email

import (
	"errors"
	"strings"
	"testing"

	"github.com/divisi-go/divisi/examples/shop/money"
)

var example = Letter{
	To: "clara@example.com", Name: "Clara <Load>", Order: "T-1",
	Items: []Item{
		{Quantity: 2, Name: "Drum & bass", Total: money.Euro(20, 0)},
		{Quantity: 12, Name: "Flute", Total: money.Euro(30, 60)},
	},
	Shipping: money.Euro(4, 90), Total: money.Euro(55, 50), Tracking: "TT-1", Time: "1 to 2 days",
}

func TestWrite(t *testing.T) {
	got, err := write(example)
	if err != nil {
		t.Fatal(err)
	}
	want := `Dear Clara <Load>,

thank you. We have packed order T-1 and it has left the house:

   2 x Drum & bass, €20.00
  12 x Flute, €30.60
   + shipping, €4.90

In total €55.50, charged to your card.

The parcel takes 1 to 2 days and answers to the number TT-1.

Play well,
your Tutti
`
	if got != want {
		t.Errorf("letter:\n%s\nwant:\n%s", got, want)
	}
}

func TestConfirm(t *testing.T) {
	sent, err := new(email).Confirm(t.Context(), example)
	if err != nil || sent.Bytes == 0 || len(sent.Served) != 1 {
		t.Errorf("sent %+v (%v)", sent, err)
	}
}

func TestAddresses(t *testing.T) {
	for _, bad := range []string{
		"", "clara", "clara@", "@example.com", "Clara <clara@example.com>", "a@b, c@d",
		"clara@example.com\r\nBcc: all@example.com", strings.Repeat("x", 250) + "@example.com",
	} {
		letter := example
		letter.To = bad
		if _, err := new(email).Confirm(t.Context(), letter); !errors.Is(err, ErrAddress) {
			t.Errorf("%q: error %v, want ErrAddress", bad, err)
		}
	}
	if err := CheckAddress("clara.load+shop@example.co.at"); err != nil {
		t.Error(err)
	}
}
