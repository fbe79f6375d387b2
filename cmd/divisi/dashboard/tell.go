package dashboard

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"mime"
	"net/http"
	"time"

	"github.com/divisi-go/divisi/internal/control"
	"github.com/divisi-go/divisi/internal/name"
	"github.com/divisi-go/divisi/internal/operator"
)

const (
	tellTime = 2 * time.Minute // for a program to do what it is told
	maxOrder = 1 << 20         // bytes
)

// answer answers a question of a program. One that does not run takes the answer when it runs next.
func (p *Page) answer(w http.ResponseWriter, r *http.Request) {
	var a control.Answer
	p.tell(w, r, &a, func(ctx context.Context, app string, client *control.Client) (any, error) {
		err := client.Answer(ctx, a)
		if isNobody(err) {
			err = operator.NewShelf(p.home.Domain(name.Domain(app)).Desk).Answer(a)
		}
		return a, err
	})
}

// do has a program do something.
func (p *Page) do(w http.ResponseWriter, r *http.Request) {
	var order struct {
		Verb string   `json:"verb"`
		Args []string `json:"args"`
	}
	p.tell(w, r, &order, func(ctx context.Context, _ string, client *control.Client) (any, error) {
		return client.Do(ctx, order.Verb, order.Args)
	})
}

// tell reads what a request says, and tells it to the program that it is about. JSON is what no form of another
// site can send.
func (p *Page) tell(w http.ResponseWriter, r *http.Request, order any,
	do func(ctx context.Context, app string, client *control.Client) (any, error),
) {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/json" {
		http.Error(w, "give JSON, as application/json", http.StatusUnsupportedMediaType)
		return
	}
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxOrder)).Decode(order); err != nil {
		refuse(w, &control.Error{Code: control.Invalid, Text: "this is not what the page sends: " + err.Error()})
		return
	}
	app := cmp.Or(r.URL.Query().Get("of"), p.first)
	client, err := p.client(app)
	if err != nil {
		refuse(w, err)
		return
	}

	ctx, cancel := context.WithTimeout(r.Context(), tellTime)
	defer cancel()
	said, err := do(ctx, app, client)
	if errors.Is(err, context.DeadlineExceeded) {
		err = errors.New("it takes long: look at its state, and at its log")
	}
	if err != nil {
		refuse(w, err)
		return
	}
	reply(w, said)
}
