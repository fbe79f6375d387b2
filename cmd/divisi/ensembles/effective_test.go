package ensembles

import (
	"reflect"
	"strings"
	"testing"

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
