package email

import (
	"errors"
	"fmt"
	"net/mail"
	"strings"
	"text/template"

	"github.com/divisi-go/divisi/examples/shop/money"
)

// ErrAddress is in the error of a request with something that is not an email address.
var ErrAddress = errors.New("not an email address")

// Letter is what a confirmation says.
type Letter struct {
	To       string // email address
	Name     string
	Order    string
	Items    []Item
	Shipping money.Money
	Total    money.Money
	Tracking string
	Time     string // that the parcel takes
}

// Item is a line of a letter.
type Item struct {
	Quantity int
	Name     string
	Total    money.Money
}

// CheckAddress returns an error unless s is a plain email address.
func CheckAddress(s string) error {
	parsed, err := mail.ParseAddress(s)
	if err != nil || parsed.Address != s || len(s) > 254 {
		return fmt.Errorf("%w: %q", ErrAddress, s)
	}
	return nil
}

// letter is the text of a confirmation.
var letter = template.Must(template.New("letter").Parse(`Dear {{.Name}},

thank you. We have packed order {{.Order}} and it has left the house:
{{range .Items}}
  {{printf "%2d" .Quantity}} x {{.Name}}, {{.Total}}{{end}}
   + shipping, {{.Shipping}}

In total {{.Total}}, charged to your card.

The parcel takes {{.Time}} and answers to the number {{.Tracking}}.

Play well,
your Tutti
`))

// write returns the text of a letter.
func write(l Letter) (string, error) {
	var b strings.Builder
	if err := letter.Execute(&b, l); err != nil {
		return "", fmt.Errorf("cannot write a letter: %w", err)
	}
	return b.String(), nil
}
