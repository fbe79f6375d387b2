package catalog

import (
	"cmp"
	"slices"
	"strings"
	"unicode"
)

// MaxQuery is how many bytes of a search are looked at.
const MaxQuery = 100

// search returns the products in which every word of the query begins a word, best first. A
// match in the name counts more than one in the category, and that more than one in the text.
func search(all []Product, query string) []Product {
	wanted := words(query[:min(len(query), MaxQuery)])
	if len(wanted) == 0 {
		return nil
	}
	type hit struct {
		product Product
		score   int
	}
	var hits []hit
	for _, p := range all {
		if n := score(p, wanted); n > 0 {
			hits = append(hits, hit{p, n})
		}
	}
	slices.SortStableFunc(hits, func(a, b hit) int { return cmp.Compare(b.score, a.score) })
	var found []Product
	for _, h := range hits {
		found = append(found, h.product)
	}
	return found
}

// score returns 0 if a wanted word is nowhere in the product.
func score(p Product, wanted []string) int {
	fields := []struct {
		words  []string
		weight int
	}{
		{words(p.Name), 9},
		{words(p.Category), 4},
		{words(p.Tagline), 3},
		{words(p.Text), 1},
	}
	total := 0
	for _, word := range wanted {
		best := 0
		for _, field := range fields {
			for _, candidate := range field.words {
				if strings.HasPrefix(candidate, word) {
					best = max(best, field.weight)
				}
			}
		}
		if best == 0 {
			return 0
		}
		total += best
	}
	return total
}

// words returns the words of a text in lower case.
func words(text string) []string {
	return strings.FieldsFunc(strings.ToLower(text), func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r)
	})
}
