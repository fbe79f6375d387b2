// Package ads chooses what the shop praises at the top of a page.
package ads

import (
	"context"
	"hash/fnv"
	"slices"

	"github.com/divisi-go/divisi"
	"github.com/divisi-go/divisi/examples/shop/trail"
)

// Ads chooses advertisements.
type Ads interface {
	// Choose returns an advertisement that fits the categories, or any without them. It never is
	// for the product with the id not. The same seed gets the same one.
	Choose(ctx context.Context, categories []string, not, seed string) (Ad, error)
}

// Ad is an advertisement for a product.
type Ad struct {
	Text    string
	Product string
	Served  trail.Trail
}

type ads struct {
	divisi.Implements[Ads]
}

func (a *ads) Choose(_ context.Context, categories []string, not, seed string) (Ad, error) {
	chosen := choose(categories, not, seed)
	return Ad{Text: chosen.text, Product: chosen.product, Served: trail.Of(a.Self())}, nil
}

type praise struct {
	category string
	product  string
	text     string
}

var praises = []praise{
	{"strings", "ukulele", "Four strings, one afternoon: the kitchen ukulele is back in stock."},
	{"strings", "cello", "Outgrown the half size? Half its price goes into the next one."},
	{"winds", "recorder", "Make your neighbours reconsider: recorders of pearwood."},
	{"winds", "ocarina", "Sounds like whistling, never like a mistake: the lagoon ocarina."},
	{"keys", "kalimba", "Eleven tines and no wrong notes. Rain included."},
	{"keys", "concertina", "Breathe in, breathe out: the harbour concertina has six folds left."},
	{"rhythm", "triangle", "One note, very well. Be ready in two hundred bars."},
	{"rhythm", "glockenspiel", "Tuned by Osk. Signed by Osk. Ask for the lowest bar."},
	{"print", "rounds", "Forty songs that chase themselves, and a page on how to stop."},
	{"print", "tuning-fork", "No settings, no updates: the tuning fork in A."},
}

func choose(categories []string, not, seed string) praise {
	all := slices.DeleteFunc(slices.Clone(praises), func(p praise) bool { return p.product == not })
	fitting := slices.DeleteFunc(slices.Clone(all), func(p praise) bool {
		return !slices.Contains(categories, p.category)
	})
	if len(fitting) == 0 {
		fitting = all
	}
	hash := fnv.New32a()
	hash.Write([]byte(seed))
	return fitting[hash.Sum32()%uint32(len(fitting))]
}
