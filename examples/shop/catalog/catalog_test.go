package catalog

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/divisi-go/divisi/examples/shop/assets/gallery"
)

// TestProducts checks that everything for sale can be sold.
func TestProducts(t *testing.T) {
	categories := map[string]int{}
	for _, c := range Categories {
		categories[c.ID] = 0
	}
	seen := map[string]bool{}
	for _, p := range products {
		if seen[p.ID] {
			t.Errorf("%s is there twice", p.ID)
		}
		seen[p.ID] = true
		if _, ok := categories[p.Category]; !ok {
			t.Errorf("%s is in the category %q, which there is not", p.ID, p.Category)
		}
		categories[p.Category]++
		if err := p.Price.Check(); err != nil || p.Price.Minor <= 0 || p.Price.Currency != "EUR" || p.Grams <= 0 {
			t.Errorf("%s costs %v (%v) and weighs %d g", p.ID, p.Price, err, p.Grams)
		}
		for name, text := range map[string]string{
			"id": p.ID, "name": p.Name, "tagline": p.Tagline, "text": p.Text, "alt": p.Alt,
		} {
			if text == "" || text != strings.TrimSpace(text) {
				t.Errorf("%s: the %s is %q", p.ID, name, text)
			}
		}
		name, kind, _ := strings.Cut(p.Picture, ".")
		if !slices.Contains(gallery.Names(), name) || kind != "svg" && kind != "png" {
			t.Errorf("%s has the picture %q, which there is not", p.ID, p.Picture)
		}
	}
	for category, n := range categories {
		if n < 2 {
			t.Errorf("there are %d products in %s", n, category)
		}
	}
}

func ids(list []Product) []string {
	var ids []string
	for _, p := range list {
		ids = append(ids, p.ID)
	}
	return ids
}

func TestList(t *testing.T) {
	c := new(catalog)
	for category, want := range map[string]int{"": len(products), "strings": 3, "nothing": 0} {
		got, err := c.List(t.Context(), category)
		if err != nil || len(got.List) != want || len(got.Served) != 1 {
			t.Errorf("category %q has %d products (%v), served by %d; want %d by 1",
				category, len(got.List), err, len(got.Served), want)
		}
	}
}

func TestProduct(t *testing.T) {
	c := new(catalog)
	if got, err := c.Product(t.Context(), "kalimba"); err != nil || got.Product.Name != "Rain kalimba" {
		t.Errorf("kalimba is %q (%v)", got.Product.Name, err)
	}
	if _, err := c.Product(t.Context(), "theremin"); !errors.Is(err, ErrUnknown) {
		t.Errorf("theremin: error %v, want ErrUnknown", err)
	}
}

func TestLookup(t *testing.T) {
	got, err := new(catalog).Lookup(t.Context(), []string{"rounds", "theremin", "cello"})
	if want := []string{"rounds", "cello"}; err != nil || !slices.Equal(ids(got.List), want) {
		t.Errorf("found %v (%v), want %v", ids(got.List), err, want)
	}
}

func TestSearch(t *testing.T) {
	for _, test := range []struct {
		query string
		want  []string
	}{
		{"", nil},
		{" ,;! ", nil},
		{"VIOLIN", []string{"violin", "duets"}},
		{"pearwood", []string{"recorder", "harmonica"}},
		{"wood brass", []string{}},
		{"pearwood brass", []string{"harmonica"}},
		{"drum", []string{"frame-drum"}},
		{"night trains", []string{"harmonica"}},
		{"theremin", []string{}},
		{strings.Repeat("ü", 300), []string{}},
	} {
		got, err := new(catalog).Search(t.Context(), test.query)
		if err != nil || !slices.Equal(ids(got.List), test.want) {
			t.Errorf("search %q found %v (%v), want %v", test.query, ids(got.List), err, test.want)
		}
	}
	// A name beats a text.
	got, err := new(catalog).Search(t.Context(), "rain")
	if err != nil || len(got.List) < 3 || got.List[0].ID != "kalimba" {
		t.Errorf("search rain found %v (%v), want the rain kalimba first", ids(got.List), err)
	}
}
