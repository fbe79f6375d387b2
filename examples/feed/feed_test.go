package main

import (
	"context"
	"errors"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/divisi-go/divisi/divisitest"
	"github.com/divisi-go/divisi/metadata"
)

func runners() []divisitest.Runner {
	runners := divisitest.AllRunners()
	for i := range runners {
		runners[i].Config = "[divisi]\nreplicas = 1\n"
	}
	return runners
}

// TestWatch: a stream means the same in one process and in two.
func TestWatch(t *testing.T) {
	t.Parallel()
	for _, runner := range runners() {
		runner.Test(t, func(t *testing.T, quotes Quotes) {
			ctx := metadata.NewContext(t.Context(), map[string]string{"customer": "acme"})
			n := 0
			for q, err := range quotes.Watch(ctx, "DIV", 1000) {
				if want := (Quote{"DIV", 4200 + n%10, "acme"}); q != want || err != nil {
					t.Fatalf("quote %d is %v, %v, want %v", n, q, err, want)
				}
				n++
			}
			if n != 1000 {
				t.Errorf("%d quotes, want 1000", n)
			}
			n = 0
			for _, err := range quotes.Watch(t.Context(), "NONE", 5) {
				if n++; !errors.Is(err, ErrUnknown) || n > 1 {
					t.Errorf("element %d: %v, want %v only", n, err, ErrUnknown)
				}
			}
		})
	}
}

// TestLeave: who leaves the loop, and who cancels, ends the stream at the other side, which has not
// run far ahead.
func TestLeave(t *testing.T) {
	t.Parallel()
	const many = 100_000_000
	for _, runner := range runners() {
		runner.Test(t, func(t *testing.T, quotes Quotes) {
			for range quotes.Watch(t.Context(), "DIV", many) {
				break
			}
			ctx, cancel := context.WithCancel(t.Context())
			n := 0
			for _, err := range quotes.Watch(ctx, "ISI", many) {
				if n++; n == 100 {
					cancel()
				}
				if err != nil {
					if !errors.Is(err, context.Canceled) {
						t.Errorf("after %d quotes: %v", n, err)
					}
					break
				}
			}
			cancel()
			tick := time.NewTicker(5 * time.Millisecond)
			defer tick.Stop()
			for end := time.Now().Add(20 * time.Second); ; <-tick.C {
				open, yielded, err := quotes.Stats(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if open == 0 {
					if yielded > many/100 {
						t.Errorf("%d quotes were yielded for a few that were read", yielded)
					}
					return
				}
				if time.Now().After(end) {
					t.Fatalf("%d streams are open", open)
				}
			}
		})
	}
}

// TestPage runs in virtual time: nothing in it may wait for the real one.
func TestPage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		divisitest.Local.Run(t, func(t *testing.T, a *app) {
			w := httptest.NewRecorder()
			a.ServeHTTP(w, httptest.NewRequest("GET", "/?symbol=ISI", nil))
			if body := w.Body.String(); strings.Count(body, "data: ISI 17.0") != 10 {
				t.Errorf("the page is %q", body)
			}
			w = httptest.NewRecorder()
			a.ServeHTTP(w, httptest.NewRequest("GET", "/?symbol=X", nil))
			if body := w.Body.String(); !strings.Contains(body, "event: error\ndata: unknown symbol: X") {
				t.Errorf("the page is %q", body)
			}
		})
	})
}
