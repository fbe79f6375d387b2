package selection

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/divisi-go/divisi/internal/name"
)

// servers are those that the tests pick from, by their names.
var servers = func() map[string]Server {
	all := map[string]Server{}
	for full, about := range map[string]Server{
		"httpd-0@/shop/www":     {Roles: []string{"httpd", "web"}, Labels: map[string]string{"tier": "front"}},
		"httpd-1@/shop/www":     {Roles: []string{"httpd", "web"}},
		"httpd-0@/shop/www/eu":  {Roles: []string{"httpd"}},
		"db@/shop":              {Roles: []string{"db"}, Labels: map[string]string{"tier": "back"}},
		"web@/shopping":         {Roles: []string{"web"}},
		"httpd-10@/test":        {Roles: []string{"httpd"}},
		"registry@/":            {},
		"web@/shop/www/archive": {Labels: map[string]string{"tier": ""}},
	} {
		var err error
		if about.Server, err = name.ParseServer(full); err != nil {
			panic(err)
		}
		all[full] = about
	}
	return all
}()

func TestPicks(t *testing.T) {
	for text, want := range map[string]string{
		"httpd-0@/shop/www":       "httpd-0@/shop/www",
		"httpd-0@www":             "httpd-0@/shop/www", // in /shop
		"httpd-0":                 "httpd-0@/shop/www httpd-0@/shop/www/eu",
		"httpd":                   "",
		"httpd-?@/shop/www":       "httpd-0@/shop/www httpd-1@/shop/www",
		"httpd-*":                 "httpd-0@/shop/www httpd-0@/shop/www/eu httpd-10@/test httpd-1@/shop/www",
		"*@/shop":                 "db@/shop",
		"@/shop":                  "db@/shop",
		"@/shop/...":              "db@/shop httpd-0@/shop/www httpd-0@/shop/www/eu httpd-1@/shop/www web@/shop/www/archive",
		"/shop":                   "db@/shop httpd-0@/shop/www httpd-0@/shop/www/eu httpd-1@/shop/www web@/shop/www/archive",
		"/shop/":                  "db@/shop httpd-0@/shop/www httpd-0@/shop/www/eu httpd-1@/shop/www web@/shop/www/archive",
		"@www/eu/...":             "httpd-0@/shop/www/eu",
		"@www/...":                "httpd-0@/shop/www httpd-0@/shop/www/eu httpd-1@/shop/www web@/shop/www/archive",
		"web@...":                 "web@/shop/www/archive",
		"role:web":                "httpd-0@/shop/www httpd-1@/shop/www web@/shopping",
		"role:web@/shop/...":      "httpd-0@/shop/www httpd-1@/shop/www",
		"role:httpd@/shop/www":    "httpd-0@/shop/www httpd-1@/shop/www",
		"role:none":               "",
		"label:tier=front":        "httpd-0@/shop/www",
		"label:tier=":             "web@/shop/www/archive",
		"label:tier=back@/shop":   "db@/shop",
		"label:tier=back@/test":   "",
		"@/":                      "registry@/",
		"registry@/":              "registry@/",
		"httpd-*@/...":            "httpd-0@/shop/www httpd-0@/shop/www/eu httpd-10@/test httpd-1@/shop/www",
		"httpd-10@/test/...":      "httpd-10@/test",
		"httpd-1@/test/...":       "",
		"nobody@/nowhere/at/all":  "",
		"role:web@/nowhere":       "",
		"label:none=x@/shop/...":  "",
		"h*-0@/shop/www":          "httpd-0@/shop/www",
		"?b@/shop":                "db@/shop",
		"label:tier=front@www":    "httpd-0@/shop/www",
		"label:tier=front@/...":   "httpd-0@/shop/www",
		"label:tier=fr*@/shop":    "",
		"role:httpd@/shop/www/eu": "httpd-0@/shop/www/eu",
	} {
		s, err := Parse(text, "/shop")
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		var got []string
		for _, full := range slices.Sorted(maps.Keys(servers)) {
			if s.Picks(servers[full]) {
				got = append(got, full)
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s picks %v, want %v", text, got, want)
		}
		if s.String() != text {
			t.Errorf("%s is %s as a text", text, s)
		}
	}
}

// TestRefused: what picks nothing by intention never picks everything by mistake.
func TestRefused(t *testing.T) {
	for text, why := range map[string]string{
		"":               "it is empty",
		"@":              "no domain after the @",
		"web@":           "no domain after the @",
		"role:":          "a name is empty",
		"role:@/shop":    "a name is empty",
		"role:*":         `cannot have '*'`,
		"label:":         "write label:NAME=VALUE",
		"label:tier":     "write label:NAME=VALUE",
		"label:=x":       "write label:NAME=VALUE",
		"web@/shop//www": "a name is empty",
		"web@/shop/":     "a name is empty",
		"web shop":       `cannot have ' '`,
		"[a-z]":          `cannot have '['`,
		`we\b`:           `cannot have '\\'`,
		"web@/shop/*":    `cannot have '*'`,
		"//shop":         "a name is empty",
		"web@/a@/b":      `cannot have '@'`,
	} {
		if s, err := Parse(text, "/"); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%q: %+v, %v; want an error with %q", text, s, err, why)
		}
	}
	for _, server := range servers {
		if (Selector{}).Picks(server) {
			t.Errorf("the zero selector picks %v", server)
		}
	}
}

func TestKinds(t *testing.T) {
	for text, want := range map[string]string{
		"web@/shop": "one", "web": "bare", "*": "everything", "**@/...": "everything", "@/...": "everything", "/": "everything",
		"web@/...": "", "@/": "", "role:web": "", "w*b": "", "label:a=b": "", "*@/shop/...": "", "web@/shop/...": "",
	} {
		s, err := Parse(text, "/")
		got := ""
		switch {
		case s.One():
			got = "one"
		case s.Bare():
			got = "bare"
		case s.Everything():
			got = "everything"
		}
		if err != nil || got != want {
			t.Errorf("%s is %q, %v; want %q", text, got, err, want)
		}
	}
}

func TestKept(t *testing.T) {
	for _, server := range servers {
		kept, err := Kept(server.Roles, server.Labels)
		got := Of(server.Server, kept)
		if err != nil || !slices.Equal(got.Roles, server.Roles) || !maps.Equal(got.Labels, server.Labels) {
			t.Errorf("%v, %v; want %v", got, err, server)
		}
	}
	if _, err := Kept([]string{"a,b"}, nil); err == nil {
		t.Error("a role with a comma is two")
	}
	if _, err := Kept(nil, map[string]string{"a=b": ""}); err == nil {
		t.Error("a label whose name has = cannot be picked")
	}
}

// FuzzParse: whatever is written, one server alone is picked by its whole name, and only "everything" picks everything.
func FuzzParse(f *testing.F) {
	for _, text := range []string{"web@/shop", "httpd-?@www/...", "role:web@/", "label:a=b@...", "/shop", "*", "", "@", "//", "a@/b@/c"} {
		f.Add(text, "/shop")
	}
	f.Fuzz(func(t *testing.T, text, current string) {
		if name.CheckDomain(current) != nil {
			return
		}
		s, err := Parse(text, current)
		if err != nil {
			if s.Picks(servers["db@/shop"]) {
				t.Errorf("%q in %q is refused, and picks", text, current)
			}
			return
		}
		again, err := Parse(s.String(), current)
		if err != nil || again != s {
			t.Errorf("%q in %q: %+v, and once more %+v, %v", text, current, s, again, err)
		}
		picked := 0
		for full, server := range servers {
			if !s.Picks(server) {
				continue
			}
			picked++
			if s.One() && full != server.Name+"@"+s.domain {
				t.Errorf("%q in %q picks %s by its name", text, current, full)
			}
		}
		if s.One() && picked > 1 || s.Everything() != (picked == len(servers)) {
			t.Errorf("%q in %q picks %d of %d", text, current, picked, len(servers))
		}
	})
}
