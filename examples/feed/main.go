// Feed is an application with a stream: a page of events, each an element that another component,
// perhaps in another process, yields when the page is ready for it.
package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/divisi-go/divisi"
	"github.com/divisi-go/divisi/metadata"
)

// ErrUnknown is the error for a symbol that nobody trades.
var ErrUnknown = errors.New("unknown symbol")

// Quote is a price.
type Quote struct {
	Symbol   string
	Cents    int
	Customer string // for whom, as the metadata of the request says
}

// Quotes knows the prices.
type Quotes interface {
	// Watch yields n quotes of a symbol.
	Watch(ctx context.Context, symbol string, n int) iter.Seq2[Quote, error]

	// Stats returns how many streams are open, and how many quotes were yielded.
	Stats(ctx context.Context) (open, yielded int, err error)
}

type quotes struct {
	divisi.Implements[Quotes]
	open, yielded atomic.Int64
}

var prices = map[string]int{"DIV": 4200, "ISI": 1700}

func (q *quotes) Watch(ctx context.Context, symbol string, n int) iter.Seq2[Quote, error] {
	meta, _ := metadata.FromContext(ctx)
	return func(yield func(Quote, error) bool) {
		price, ok := prices[symbol]
		if !ok {
			yield(Quote{}, fmt.Errorf("%w: %s", ErrUnknown, symbol))
			return
		}
		q.open.Add(1)
		defer q.open.Add(-1)
		for i := range n {
			q.yielded.Add(1)
			if !yield(Quote{symbol, price + i%10, meta["customer"]}, nil) {
				return
			}
		}
	}
}

func (q *quotes) Stats(context.Context) (open, yielded int, err error) {
	return int(q.open.Load()), int(q.yielded.Load()), nil
}

type app struct {
	divisi.Implements[divisi.Main]
	quotes divisi.Ref[Quotes]
	feed   divisi.Listener
}

func (a *app) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	ctx := metadata.NewContext(r.Context(), map[string]string{"customer": r.FormValue("customer")})
	for q, err := range a.quotes.Get().Watch(ctx, r.FormValue("symbol"), 10) {
		if err != nil {
			fmt.Fprintf(w, "event: error\ndata: %v\n\n", err)
			return
		}
		fmt.Fprintf(w, "data: %s %d.%02d\n\n", q.Symbol, q.Cents/100, q.Cents%100)
		if err := http.NewResponseController(w).Flush(); err != nil {
			return
		}
	}
}

func main() {
	err := divisi.Run(context.Background(), func(ctx context.Context, a *app) error {
		server := &http.Server{Handler: divisi.InstrumentHandler("feed", a), ReadHeaderTimeout: 10 * time.Second}
		return server.Serve(a.feed)
	})
	if err != nil {
		log.Fatal(err)
	}
}
