package ensembles

import (
	"maps"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/pelletier/go-toml/v2"

	"github.com/divisi-go/divisi/internal/ensemble"
)

const site = `
[ensemble]
domain = "/test"
[base]
labels.stage = "test"
[roles.httpd]
program = "divisi"
args = ["httpd"]
listen.httpd = "localhost:8080"
config = { root = "www", sizes = [1, 2], cache = { age = "1m" } }
[domains.www]
strategy = "rest-for-one"
[servers."httpd@www"]
count = 2
needs = ["db"]
within = "1m30s"
[servers.db]
program = "./db"
alone = true
`

// TestEffective: what is shown as the meaning of a document is one, and means the same.
func TestEffective(t *testing.T) {
	before, err := ensemble.Parse("site.toml", site, ensemble.Said{Counts: ensemble.Counts{"httpd@/test/www": 3}})
	if err != nil {
		t.Fatal(err)
	}
	text, err := toml.Marshal(plain(reflect.ValueOf(before.Effective())))
	if err != nil {
		t.Fatal(err)
	}
	after, err := ensemble.Parse("effective.toml", string(text), ensemble.Said{})
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	if changes := ensemble.Plan(before, after); len(changes) > 0 || len(after.Servers()) != 4 || after.Root.Members[1].Nursery.Strategy != "rest-for-one" {
		t.Errorf("%v differ in\n%s", changes, text)
	}
	for _, want := range []string{"within = '1m30s'", "stop_time = '10s'", "window = '1m0s'", "alone = false"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("%s is not in\n%s", want, text)
		}
	}
}

func TestShelf(t *testing.T) {
	s := Shelf{"/test", t.TempDir() + "/ensemble"}
	if _, err := s.Last(); err != errNoRevision {
		t.Errorf("the last of none: %v", err)
	}
	for n := range 3 {
		r, err := s.Add(Revision{Text: site, File: "/site.toml", Said: ensemble.Said{Counts: ensemble.Counts{"httpd@/test/www": n}}}, n)
		if err != nil || r.Number != n+1 {
			t.Fatalf("%+v, %v", r, err)
		}
	}
	if _, err := s.Add(Revision{Text: "other"}, 2); err == nil || !strings.Contains(err.Error(), "somebody else has changed /test meanwhile") {
		t.Errorf("two have written revision 3: %v", err)
	}
	last, err := s.Last()
	if err != nil || last.Number != 3 || last.Text != site || !maps.Equal(last.Counts, ensemble.Counts{"httpd@/test/www": 2}) {
		t.Errorf("the last one is %+v, %v", last, err)
	}

	if _, ok := s.before(3); ok {
		t.Error("nothing has settled")
	}
	for n, o := range map[int]Outcome{1: {Settled: time.Now()}, 2: {Failed: "x"}} {
		if err := s.PutOutcome(n, o); err != nil {
			t.Fatal(err)
		}
	}
	if r, ok := s.before(3); !ok || r.Number != 1 || s.Outcome(2).Failed != "x" || !s.Outcome(3).Settled.IsZero() {
		t.Errorf("before 3 has settled %+v, %v", r, ok)
	}
	if numbers, err := s.Numbers(); err != nil || len(numbers) != 3 {
		t.Errorf("the revisions are %v, %v", numbers, err)
	}
}
