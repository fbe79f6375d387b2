package ensemble

import (
	"maps"
	"reflect"
	"strings"
	"testing"
)

const configured = `
[ensemble]
domain = "/test"
[roles.httpd]
program = "divisi"
follows = true
config = { root = "www", cache = { size = 1, files = 2 } }
[servers."httpd@www"]
count = 2
own.1.cache.size = 7
[servers.front]
role = "httpd"
[servers.db]
program = "db"
config.name = "x"
`

// override returns an ensemble with what was said besides.
func override(t *testing.T, text string, said Overrides) *Ensemble {
	t.Helper()
	e, err := Parse("site.toml", text, Said{Config: said})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// set says one more thing.
func set(t *testing.T, o Overrides, of, text string) Overrides {
	t.Helper()
	table, err := ReadTable("", text)
	if err != nil {
		t.Fatal(err)
	}
	return o.Set(of, table)
}

// TestOverride: what is said of a role, an entry and one server comes in this order, however it was said.
func TestOverride(t *testing.T) {
	said := set(t, nil, "httpd-0@/test/www", "cache.size = 5")
	said = set(t, said, "httpd@/test/www", "cache = { size = 4, \"odd.key\" = [1, { a = 'b' }] }")
	said = set(t, said, "httpd@/test", "cache.size = 3\nroot = 'other'")
	for of, want := range map[string]map[string]any{
		"httpd-0@/test/www": {"root": "other", "cache": map[string]any{"size": int64(5), "files": int64(2), "odd.key": []any{int64(1), map[string]any{"a": "b"}}}},
		"httpd@/test/www":   {"root": "other", "cache": map[string]any{"size": int64(4), "files": int64(2), "odd.key": []any{int64(1), map[string]any{"a": "b"}}}},
		"front@/test":       {"root": "other", "cache": map[string]any{"size": int64(3), "files": int64(2)}},
		"db@/test":          {"name": "x"},
	} {
		e := override(t, configured, said)
		if got, err := e.Config(of); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s has %v, %v; want %v", of, got, err, want)
		}
	}
	e := override(t, configured, said)
	if got := e.Servers()[1].Config["cache"].(map[string]any)["size"]; got != int64(7) {
		t.Errorf("what the document says of one server is not kept: %v", got)
	}
	if _, err := e.Config("httpd@/test"); err == nil || !strings.Contains(err.Error(), "have not the same configuration") {
		t.Error(err)
	}

	// Defect 5: the last word about a key stands, in whatever table it was said.
	for _, test := range []struct{ first, then, want string }{
		{"cache = 5", "cache.size = 6", "cache.size=6"}, {"cache.size = 6", "cache = 5", "cache=5"}, {"cache = {}", "cache.size = 6", "cache.size=6"},
		{"cachet = 1", "cache = 2", "cache=2 cachet=1"},
	} {
		said := set(t, set(t, nil, "db@/test", test.first), "db@/test", test.then)["db@/test"]
		var got []string
		for _, key := range []string{"cache", "cache.size", "cachet"} {
			if text, ok := said[key]; ok {
				got = append(got, key+"="+text)
			}
		}
		if strings.Join(got, " ") != test.want {
			t.Errorf("%s and then %s is %v, want %s", test.first, test.then, got, test.want)
		}
	}

	for of, why := range map[string]string{"htpd@/test/www": `did you mean "httpd@/test/www"?`, "httpd@/prod": "neither a server nor a role", "db": "db"} {
		if _, err := override(t, configured, Overrides{of: {"a": "1"}}).Config(of); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%s: %v; want an error with %q", of, err, why)
		}
	}
}

// TestReplace: whatever somebody makes of a configuration, it is that, and what the document says elsewhere is followed.
func TestReplace(t *testing.T) {
	for _, text := range []string{
		"", "root = 'www'\n[cache]\nsize = 1\nfiles = 2", "root = 3\ncache = 4", "cache = {}", "cache.size.more = 1", "new.key = [1, 2]\n[cache]\nsize = 9",
	} {
		want, err := ReadTable("", text)
		if err != nil {
			t.Fatal(err)
		}
		said := set(t, nil, "front@/test", "root = 'before'")
		said, err = said.Replace(parse(t, configured, nil), "front@/test", want)
		if err != nil {
			t.Fatal(err)
		}
		got, err := override(t, configured, said).Config("front@/test")
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s\nis %v by %v, %v", text, got, said, err)
		}
	}
	if said, err := (Overrides{}).Replace(parse(t, configured, nil), "front@/test", parse(t, configured, nil).Roles["httpd"].Config); err != nil || len(said) != 0 {
		t.Errorf("nothing differs, and %v, %v", said, err)
	}
	if _, err := (Overrides{}).Replace(parse(t, configured, nil), "httpd-0@/test/www", nil); err == nil || !strings.Contains(err.Error(), "taken away from all servers of a kind") {
		t.Error(err)
	}

	// The next document has the last word about a key of which it says something else than before.
	said := set(t, nil, "front@/test", "cache = { size = 8, files = 9 }")
	said = set(t, said, "db@/test", "name = 'y'")
	before := parse(t, configured, nil)
	after := parse(t, strings.NewReplacer("size = 1", "size = 2", "servers.db", "servers.other").Replace(configured), nil)
	if got := said.kept(before, after); len(got) != 1 || !maps.Equal(got["front@/test"], map[string]string{"cache.files": "9"}) {
		t.Errorf("%v stays", got)
	}
}

// TestFollows: a program that follows its file stays when nothing else is changed.
func TestFollows(t *testing.T) {
	before := parse(t, configured, nil)
	after := override(t, configured, Overrides{"httpd-0@/test/www": {"root": "'x'"}, "db@/test": {"name": "'z'"}})
	want := []Change{{"db@/test", Replace, []string{"config"}}, {"httpd-0@/test/www", Configure, []string{"config"}}}
	if got := Plan(before, after); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	after = parse(t, strings.Replace(configured, "follows = true", "follows = true\nargs = ['httpd']", 1), nil)
	if got := Plan(before, after); len(got) != 3 || got[0].Kind != Replace {
		t.Errorf("another program stays: %v", got)
	}
	_, err := Parse("site.toml", strings.Replace(configured, "own.1", "own.one", 1), Said{})
	if err == nil || !strings.Contains(err.Error(), `site.toml:10:5: servers."httpd@www".own.one has the configuration of one of several servers`) {
		t.Error(err)
	}
}

// FuzzReadTable: a value that is said of a server is that, and can be said again.
func FuzzReadTable(f *testing.F) {
	for _, text := range []string{"a = 1", "a.\"b c\".d = 'x'\n[e]\nf = [{ g = 1.5 }, []]\nh = {}", "a = \"\\u0000'\"", "d = 1979-05-27T07:32:00Z", "x = nan\ny = -inf"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		table, err := ReadTable("", text)
		if err != nil {
			return
		}
		said := Overrides{}.Set("db@/test", table)
		got, gone, err := read(said["db@/test"])
		if err != nil || len(gone) > 0 || len(table) > 0 && len(got) == 0 {
			t.Fatalf("%v is %v, without %v, %v", said, got, gone, err)
		}
		if again := (Overrides{}).Set("db@/test", got); !maps.EqualFunc(said, again, maps.Equal) {
			t.Errorf("%v is %v", said, again)
		}
	})
}
