package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/divisi-go/divisi/divisitest"
)

func runners() []divisitest.Runner {
	runners := divisitest.AllRunners()
	for i := range runners {
		runners[i].NoAliasing = true
	}
	return runners
}

func TestFactors(t *testing.T) {
	for _, runner := range runners() {
		runner.Test(t, func(t *testing.T, f Factorer) {
			for n, want := range map[int][]int{1: nil, 2: {2}, 97: {97}, 360: {2, 2, 2, 3, 3, 5}} {
				// Each replica may be asked once while they become known.
				cached := false
				for range 4 {
					got, err := f.Factors(t.Context(), n)
					if err != nil || !slices.Equal(got.List, want) {
						t.Errorf("Factors(%d) = %v, %v, want %v", n, got.List, err, want)
					}
					cached = cached || got.Cached
				}
				if !cached {
					t.Errorf("Factors(%d) is not remembered", n)
				}
			}
			if _, err := f.Factors(t.Context(), 0); err == nil || !strings.Contains(err.Error(), "0 is not between") {
				t.Errorf("Factors(0): %v", err)
			}
		})
	}
}

// TestBound: at the bound everything is forgotten.
func TestBound(t *testing.T) {
	runner := divisitest.Local
	runner.Config = "[\"github.com/divisi-go/divisi/examples/cache/Factorer\"]\nMaxEntries = 2\n"
	runner.Test(t, func(t *testing.T, f Factorer) {
		var cached []string
		for _, n := range []int{4, 6, 4, 8, 4} {
			got, err := f.Factors(t.Context(), n)
			if err != nil {
				t.Fatal(err)
			}
			cached = append(cached, fmt.Sprint(got.Cached))
		}
		if got := strings.Join(cached, " "); got != "false false true false false" {
			t.Errorf("cached: %s", got)
		}
	})
}
