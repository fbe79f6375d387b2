// Package recommendations knows what goes with what.
package recommendations

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/divisi-go/divisi"
	"github.com/divisi-go/divisi/examples/shop/catalog"
	"github.com/divisi-go/divisi/examples/shop/trail"
)

// Recommendations knows what goes with what.
type Recommendations interface {
	// Suggest returns up to n products that go with those that are named, and are none of them.
	Suggest(ctx context.Context, with []string, n int) (catalog.Products, error)
}

type recommendations struct {
	divisi.Implements[Recommendations]
	catalog divisi.Ref[catalog.Catalog]
}

func (r *recommendations) Suggest(ctx context.Context, with []string, n int) (catalog.Products, error) {
	all, err := r.catalog.Get().List(ctx, "")
	if err != nil {
		return catalog.Products{}, fmt.Errorf("cannot recommend anything: %w", err)
	}
	return catalog.Products{
		List:   suggest(all.List, with, n),
		Served: trail.Of(r.Self(), all.Served),
	}, nil
}

// pairs are products that are often played together.
var pairs = [][2]string{
	{"violin", "duets"}, {"violin", "tuning-fork"}, {"violin", "cello"},
	{"cello", "metronome"}, {"cello", "tuning-fork"},
	{"ukulele", "rounds"}, {"ukulele", "kalimba"}, {"ukulele", "harmonica"},
	{"recorder", "rounds"}, {"recorder", "frame-drum"}, {"recorder", "ocarina"},
	{"clarinet", "metronome"}, {"clarinet", "recorder"},
	{"harmonica", "frame-drum"}, {"concertina", "frame-drum"}, {"concertina", "harmonica"},
	{"melodica", "triangle"}, {"melodica", "toy-piano"},
	{"toy-piano", "glockenspiel"}, {"toy-piano", "metronome"},
	{"kalimba", "frame-drum"}, {"triangle", "glockenspiel"}, {"duets", "metronome"},
}

// suggest ranks by how many named products a product is paired with, then by how many are of its
// category, then by the order of the catalogue.
func suggest(all []catalog.Product, with []string, n int) []catalog.Product {
	category := map[string]string{}
	for _, p := range all {
		category[p.ID] = p.Category
	}
	score := func(p catalog.Product) int {
		total := 0
		for _, id := range with {
			for _, pair := range pairs {
				if pair == [2]string{id, p.ID} || pair == [2]string{p.ID, id} {
					total += 100
				}
			}
			if category[id] == p.Category {
				total++
			}
		}
		return total
	}
	candidates := slices.DeleteFunc(slices.Clone(all), func(p catalog.Product) bool {
		return slices.Contains(with, p.ID)
	})
	slices.SortStableFunc(candidates, func(a, b catalog.Product) int {
		return cmp.Compare(score(b), score(a))
	})
	return candidates[:min(max(n, 0), len(candidates))]
}
