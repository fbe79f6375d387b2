package history

import (
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/divisi-go/divisi/internal/ensemble"
)

func TestShelf(t *testing.T) {
	s := Shelf{"/test", t.TempDir() + "/ensemble"}
	if _, err := s.Last(); err != ErrNone {
		t.Errorf("the last of none: %v", err)
	}
	for n := range 3 {
		r, err := s.Add(Revision{Text: "site", File: "/site.toml", Said: ensemble.Said{Counts: ensemble.Counts{"httpd@/test/www": n}}}, n)
		if err != nil || r.Number != n+1 {
			t.Fatalf("%+v, %v", r, err)
		}
	}
	if _, err := s.Add(Revision{Text: "other"}, 2); err == nil || !strings.Contains(err.Error(), "somebody else has changed /test meanwhile") {
		t.Errorf("two have written revision 3: %v", err)
	}
	last, err := s.Last()
	if err != nil || last.Number != 3 || last.Text != "site" || !maps.Equal(last.Counts, ensemble.Counts{"httpd@/test/www": 2}) {
		t.Errorf("the last one is %+v, %v", last, err)
	}

	if _, ok := s.Before(3); ok {
		t.Error("nothing has settled")
	}
	for n, o := range map[int]Outcome{1: {Settled: time.Now()}, 2: {Failed: "x"}} {
		if err := s.PutOutcome(n, o); err != nil {
			t.Fatal(err)
		}
	}
	if r, ok := s.Before(3); !ok || r.Number != 1 || s.Outcome(2).Failed != "x" || !s.Outcome(3).Settled.IsZero() {
		t.Errorf("before 3 has settled %+v, %v", r, ok)
	}
	if numbers, err := s.Numbers(); err != nil || len(numbers) != 3 {
		t.Errorf("the revisions are %v, %v", numbers, err)
	}
}
