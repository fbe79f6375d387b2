package recommendations

import (
	"slices"
	"testing"

	"github.com/divisi-go/divisi/examples/shop/catalog"
)

var all = []catalog.Product{
	{ID: "violin", Category: "strings"},
	{ID: "drum", Category: "rhythm"},
	{ID: "cello", Category: "strings"},
	{ID: "ukulele", Category: "strings"},
	{ID: "duets", Category: "print"},
}

func TestSuggest(t *testing.T) {
	for _, test := range []struct {
		with []string
		n    int
		want []string
	}{
		{[]string{"violin"}, 3, []string{"cello", "duets", "ukulele"}}, // paired and of the category, paired, of the category
		{[]string{"duets"}, 2, []string{"violin", "drum"}},
		{[]string{"violin", "cello"}, 9, []string{"duets", "ukulele", "drum"}},
		{nil, 2, []string{"violin", "drum"}},
		{[]string{"theremin"}, 1, []string{"violin"}},
		{[]string{"violin"}, 0, nil},
		{[]string{"violin"}, -1, nil},
	} {
		var got []string
		for _, p := range suggest(all, test.with, test.n) {
			got = append(got, p.ID)
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%d with %v: %v, want %v", test.n, test.with, got, test.want)
		}
	}
}
