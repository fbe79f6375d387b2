// Cache is an application with a routed component: all requests for a number reach the same
// replica, which remembers the factors it has found.
package main

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/divisi-go/divisi"
	"github.com/divisi-go/divisi/metrics"
)

var lookups = metrics.NewCounterMap[lookupLabels]("cache_lookups", "Lookups of factors")

type lookupLabels struct{ Hit bool }

// Factors of one number, and who found them.
type Factors struct {
	List    []int
	Replica string
	Cached  bool
}

// Factorer finds the factors of numbers.
type Factorer interface {
	// Factors returns a list that nobody may change: it is remembered.
	//
	//divisi:shared
	Factors(ctx context.Context, n int) (Factors, error)
}

type router struct{}

func (router) Factors(_ context.Context, n int) int { return n }

// Config is the section of the configuration for the component.
type Config struct {
	// MaxEntries bounds how many numbers are remembered; at the bound all are forgotten.
	MaxEntries int
}

// Validate is called when the configuration has been read.
func (c *Config) Validate() error {
	if c.MaxEntries < 0 {
		return fmt.Errorf("MaxEntries is %d: it must not be negative", c.MaxEntries)
	}
	return nil
}

type factorer struct {
	divisi.Implements[Factorer]
	divisi.WithRouter[router]
	divisi.WithConfig[Config]

	mu    sync.Mutex // guards known
	known map[int][]int
}

func (f *factorer) Init(context.Context) error {
	f.known = map[int][]int{}
	if f.Config().MaxEntries == 0 {
		f.Config().MaxEntries = 10_000
	}
	return nil
}

// maxFactored bounds the numbers that are factored, which takes as long as their roots are great.
const maxFactored int64 = 1 << 32

func (f *factorer) Factors(_ context.Context, n int) (Factors, error) {
	if n < 1 || int64(n) > maxFactored {
		return Factors{}, fmt.Errorf("%d is not between 1 and %d", n, maxFactored)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	list, hit := f.known[n]
	lookups.Get(lookupLabels{hit}).Inc()
	if !hit {
		list = factors(n)
		if len(f.known) >= f.Config().MaxEntries {
			clear(f.known)
		}
		f.known[n] = list
	}
	return Factors{List: list, Replica: f.Self().Replica, Cached: hit}, nil
}

func factors(n int) []int {
	var list []int
	for d := 2; d*d <= n; d++ {
		for ; n%d == 0; n /= d {
			list = append(list, d)
		}
	}
	if n > 1 {
		list = append(list, n)
	}
	return list
}

type app struct {
	divisi.Implements[divisi.Main]
	factorer divisi.Ref[Factorer]
	cache    divisi.Listener
}

func (a *app) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n, err := strconv.Atoi(r.FormValue("n"))
	if err != nil {
		http.Error(w, "give a number: /?n=360", http.StatusBadRequest)
		return
	}
	f, err := a.factorer.Get().Factors(r.Context(), n)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	fmt.Fprintf(w, "%d = %v (by %s, cached: %t)\n", n, f.List, f.Replica, f.Cached)
}

func main() {
	err := divisi.Run(context.Background(), func(ctx context.Context, a *app) error {
		server := &http.Server{Handler: divisi.InstrumentHandler("cache", a), ReadHeaderTimeout: 10 * time.Second}
		return server.Serve(a.cache)
	})
	if err != nil {
		log.Fatal(err)
	}
}
