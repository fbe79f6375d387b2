// Package trail tells which processes took part in a result. Every result in the shop carries a
// Trail, so that a page can name those that served it.
package trail

import (
	"slices"

	"github.com/divisi-go/divisi"
)

// Trail is who took part, in the order in which they were asked.
type Trail []divisi.Identity

// Of returns the trail of a result: the component that made it, then all that it asked. Each is
// named once.
func Of(self divisi.Identity, asked ...Trail) Trail {
	t := Trail{self}
	for _, others := range asked {
		t = t.Add(others...)
	}
	return t
}

// Add returns the trail with those added that it does not have. The trail itself stays as it is.
func (t Trail) Add(others ...divisi.Identity) Trail {
	t = slices.Clip(t)
	for _, other := range others {
		if !slices.Contains(t, other) {
			t = append(t, other)
		}
	}
	return t
}
