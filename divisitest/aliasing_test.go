package divisitest_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/divisi-go/divisi/divisitest"
)

// failures is a test that notes its failures.
type failures struct {
	testing.TB
	texts []string
}

func (f *failures) Errorf(format string, args ...any) {
	f.texts = append(f.texts, fmt.Sprintf(format, args...))
}

func TestNoAliasing(t *testing.T) {
	for _, tc := range []struct {
		name string
		use  func(put func(...string) []string, impl *shelfImpl)
		want []string // in the only failure; none if it is empty
	}{
		{"nobody", func(put func(...string) []string, _ *shelfImpl) { put("a"); put("b") }, nil},
		{"caller", func(put func(...string) []string, _ *shelfImpl) {
			put("a")[0] = "spoilt by the caller"
		}, []string{"shelf.Put", "before: [a]", "after:  [spoilt by the caller]"}},
		{"callee", func(put func(...string) []string, impl *shelfImpl) {
			put("a")
			impl.spoil = true
			put("b")
			put("c") // is told of once
		}, []string{"shelf.Put", "before: [a]", "after:  [spoilt by the callee]"}},
	} {
		for _, on := range []bool{true, false} {
			f := &failures{TB: t}
			runner := divisitest.Local
			runner.NoAliasing = on
			runner.Run(f, func(_ *failures, s shelf, impl *shelfImpl) {
				tc.use(func(list ...string) []string {
					got, err := s.Put(t.Context(), list)
					if err != nil {
						t.Fatal(err)
					}
					return got
				}, impl)
			})
			switch text := strings.Join(f.texts, "\n"); {
			case tc.want == nil || !on:
				if text != "" {
					t.Errorf("%s (%v): %s", tc.name, on, text)
				}
			case len(f.texts) != 1:
				t.Errorf("%s: %d failures: %s", tc.name, len(f.texts), text)
			default:
				for _, want := range tc.want {
					if !strings.Contains(text, want) {
						t.Errorf("%s: %q is not in: %s", tc.name, want, text)
					}
				}
			}
		}
	}
}
