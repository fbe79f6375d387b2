// Pair is a chatty application: Odd and Even walk the Collatz sequence of a number, calling each
// other at every step. Run as two processes, every step is a remote call.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"strconv"
	"time"

	"github.com/divisi-go/divisi"
)

// ErrNotPositive is returned for numbers that have no sequence.
var ErrNotPositive = errors.New("the number must be at least 1")

// Odd takes the steps from odd numbers.
type Odd interface {
	// Steps returns the number of steps from n to 1.
	Steps(ctx context.Context, n int) (int, error)
}

// Even takes the steps from even numbers.
type Even interface {
	// Steps returns the number of steps from n to 1.
	Steps(ctx context.Context, n int) (int, error)
}

type odd struct {
	divisi.Implements[Odd]
	even divisi.Ref[Even]
}

func (o *odd) Steps(ctx context.Context, n int) (int, error) {
	switch {
	case n < 1:
		return 0, ErrNotPositive
	case n == 1:
		return 0, nil
	}
	steps, err := o.even.Get().Steps(ctx, 3*n+1)
	return steps + 1, err
}

type even struct {
	divisi.Implements[Even]
	odd divisi.Ref[Odd]
}

func (e *even) Steps(ctx context.Context, n int) (int, error) {
	if n < 1 {
		return 0, ErrNotPositive
	}
	steps := 0
	for n%2 == 0 {
		n /= 2
		steps++
	}
	more, err := e.odd.Get().Steps(ctx, n)
	return steps + more, err
}

type app struct {
	divisi.Implements[divisi.Main]
	odd  divisi.Ref[Odd]
	even divisi.Ref[Even]
	pair divisi.Listener
}

func (a *app) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n, err := strconv.Atoi(r.FormValue("n"))
	if err != nil {
		http.Error(w, "give a number: /?n=27", http.StatusBadRequest)
		return
	}
	steps := a.odd.Get().Steps
	if n%2 == 0 {
		steps = a.even.Get().Steps
	}
	count, err := steps(r.Context(), n)
	switch {
	case errors.Is(err, ErrNotPositive):
		http.Error(w, err.Error(), http.StatusBadRequest)
	case err != nil:
		http.Error(w, err.Error(), http.StatusBadGateway)
	default:
		fmt.Fprintf(w, "%d reaches 1 in %d steps\n", n, count)
	}
}

func main() {
	err := divisi.Run(context.Background(), func(ctx context.Context, a *app) error {
		server := &http.Server{Handler: divisi.InstrumentHandler("pair", a), ReadHeaderTimeout: 10 * time.Second}
		return server.Serve(a.pair)
	})
	if err != nil {
		log.Fatal(err)
	}
}
