package ensemble

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/divisi-go/divisi/internal/tree"
)

const site = `
[ensemble]
domain = "/test"

[base]
restart.intensity = 10
labels.stage = "test"
env = { REGION = "eu", LEVEL = "info" }

[roles.httpd]
program = "divisi"
args = ["httpd", "--name", "{name}"]
listen.httpd = "localhost:8080"
ready = "notify"
also = ["web"]
env.LEVEL = "debug"
config = { root = "www", cache = { size = 1, files = 2 } }

[domains.www]
strategy = "one-for-all"
restart.window = "5m"

[servers."httpd@www"]
count = 2
needs = ["db"]
restart.window = "2m"
config.cache.size = 3

[servers.db]
program = "./db"
ready = "file:socket"
within = "1m"
alone = true

[servers."front@/test/www/eu"]
role = "httpd"
listen.httpd = "localhost:0"
needs = ["httpd@www"]
`

// parse reads a document that is right.
func parse(t *testing.T, text string, counts Counts) *Ensemble {
	t.Helper()
	e, err := Parse("site.toml", text, Said{Counts: counts})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// names returns the names of all servers in the order of their start.
func names(e *Ensemble) string {
	var all []string
	for _, s := range e.Servers() {
		all = append(all, s.String())
	}
	return strings.Join(all, " ")
}

func TestLayers(t *testing.T) {
	e := parse(t, site, nil)
	if got, want := names(e), "db@/test httpd-0@/test/www httpd-1@/test/www front@/test/www/eu"; got != want {
		t.Errorf("the servers are %s, want %s", got, want)
	}

	groups := e.Root.Groups()
	httpd, front := groups[1], groups[2]
	if got, want := httpd.Env, map[string]string{"REGION": "eu", "LEVEL": "debug"}; !maps.Equal(got, want) {
		t.Errorf("the variables are %v, want %v", got, want)
	}
	if r := httpd.Restart; r.Intensity != 10 || r.Window != 2*time.Minute || r.Policy != "permanent" || r.MaxBackoff != 30*time.Second {
		t.Errorf("the policy is %+v", r)
	}
	if got, want := httpd.Config, map[string]any{"root": "www", "cache": map[string]any{"size": int64(3), "files": int64(2)}}; !reflect.DeepEqual(got, want) {
		t.Errorf("the configuration is %v, want %v", got, want)
	}
	if got, want := front.Config["cache"], map[string]any{"size": int64(1), "files": int64(2)}; !reflect.DeepEqual(got, want) {
		t.Errorf("one server has the configuration of another: %v, want %v", got, want)
	}
	if got := httpd.AllRoles(); !slices.Equal(got, []string{"httpd", "web"}) || httpd.Labels["stage"] != "test" {
		t.Errorf("the roles are %v, the labels %v", got, httpd.Labels)
	}
	if db := groups[0]; !*db.Alone || *httpd.Alone || db.Within != time.Minute || httpd.Within != 30*time.Second || db.Dir != "." {
		t.Errorf("the defaults of %+v and %+v", db, httpd)
	}

	www := e.Root.Members[1].Nursery
	eu := www.Members[1].Nursery
	if www.Path != "/test/www" || www.Strategy != tree.OneForAll || eu.Strategy != tree.OneForAll || e.Root.Strategy != tree.OneForOne {
		t.Errorf("the domains are %+v, %+v and %+v", e.Root, www, eu)
	}
	if got := httpd.Servers()[1].Expand("{name} is {server} in {domain}, number {number}, {other}"); got !=
		"httpd-1 is httpd-1@/test/www in /test/www, number 1, {other}" {
		t.Error(got)
	}
}

func TestScaled(t *testing.T) {
	free := strings.Replace(site, "localhost:8080", "localhost:0", 1)
	counts := Counts{"httpd@/test/www": 1, "httpd@/test/more": 2}
	e := parse(t, free, counts)
	if got, want := names(e), "db@/test httpd-0@/test/www front@/test/www/eu httpd-0@/test/more httpd-1@/test/more"; got != want {
		t.Errorf("the servers are %s, want %s", got, want)
	}
	if got := names(parse(t, free, Counts{"httpd@/test/www": 0})); strings.Contains(got, "httpd") {
		t.Errorf("none are wanted, and there are %s", got)
	}

	for full, why := range map[string]string{
		"httpd@/prod": "outside of /test", "db@/test": "it is one server", "htpd@/test/www": `did you mean "httpd@/test/www"?`, "httpd": "NAME@/DOMAIN",
	} {
		if _, err := Parse("site.toml", free, Said{Counts: Counts{full: 2}}); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%s: %v; want an error with %q", full, err, why)
		}
	}
	if _, err := Parse("site.toml", free, Said{Counts: Counts{"httpd@/test/www": MaxCount + 1}}); err == nil {
		t.Error("there can be any number")
	}
	if _, err := Parse("site.toml", site, Said{Counts: counts}); err == nil || !strings.Contains(err.Error(), "the address localhost:8080 is that of the socket httpd in /test/www") {
		t.Errorf("two domains have one address: %v", err)
	}

	// What was said stays while the document says nothing else of it.
	before := parse(t, free, nil)
	same := parse(t, free+"\n[servers.more]\nprogram = \"more\"\n", nil)
	other := parse(t, strings.Replace(free, "count = 2", "count = 3", 1), nil)
	gone := parse(t, strings.NewReplacer(`[servers."httpd@www"]`, "[servers.\"web@www\"]\nrole = \"httpd\"", `["httpd@www"]`, `["web@www"]`).Replace(free), nil)
	for i, test := range []struct {
		after *Ensemble
		want  Counts
	}{
		{same, counts}, {other, Counts{"httpd@/test/more": 2}}, {gone, Counts{"httpd@/test/more": 2}},
	} {
		if got := (Said{Counts: counts}).Kept(before, test.after); !maps.Equal(got.Counts, test.want) {
			t.Errorf("%d: %v stays, want %v", i, got, test.want)
		}
	}
}

// TestStopped: a stopped server is none that is to run, for as long as there is one of its name.
func TestStopped(t *testing.T) {
	said := Said{}.Stop("httpd-1@/test/www", "db@/test", "db@/test", "gone@/test")
	e, err := Parse("site.toml", site, said)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := names(e), "httpd-0@/test/www front@/test/www/eu"; got != want {
		t.Errorf("the servers are %s, want %s", got, want)
	}
	if got, want := e.Stopped(), []string{"db@/test", "httpd-1@/test/www"}; !slices.Equal(got, want) {
		t.Errorf("%v are stopped, want %v", got, want)
	}
	if got, want := Plan(parse(t, site, nil), e), []Change{{"db@/test", Stop, nil}, {"httpd-1@/test/www", Stop, nil}}; !reflect.DeepEqual(got, want) {
		t.Errorf("the plan is %v, want %v", got, want)
	}
	if again := said.Start("httpd-1@/test/www"); !slices.Equal(again.Down, []string{"db@/test", "gone@/test"}) || again.Equal(said) {
		t.Errorf("%v are stopped", again.Down)
	}
}

// TestContent: servers that use what was pushed are others when that is another one, and what was not pushed is missed.
func TestContent(t *testing.T) {
	const text = `[ensemble]
domain = "/test"
[roles.httpd]
program = "{exe.httpd}"
args = ["--root", "{fs}/www", "{name} {x}"]
env.LIB = "{env.www}/lib:{fs.more}"
[servers.httpd]
count = 1
[servers.other]
program = "sleep"
`
	parse := func(said Said) *Ensemble {
		e, err := Parse("site.toml", text, said)
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	said := Said{}.Push("fs", "1").Push("fs.more", "2").Push("exe.httpd", "3")
	e := parse(said)
	if got := e.Lacks(); !slices.Equal(got, []string{"env.www"}) {
		t.Errorf("%v are missed", got)
	}
	next := said.Push("env.www", "4").Push("fs", "5")
	if got, want := Plan(e, parse(next)), []Change{{"httpd-0@/test", Replace, []string{"{env.www}", "{fs}"}}}; !reflect.DeepEqual(got, want) {
		t.Errorf("the plan is %v, want %v", got, want)
	}
	if next.Equal(said) || said.Content["fs"] != "1" || !next.Kept(e, e).Equal(next) || len(parse(next).Lacks()) > 0 {
		t.Errorf("%v after %v", next, said)
	}
}

// TestMistakes: each of them is told, at its place, with the way out.
func TestMistakes(t *testing.T) {
	const text = `[ensemble]
domain = "/test"
dommain = "/x"

[roles.httpd]
programm = "divisi"
ready = "notfy"
within = 30
listen.http = "8080"
restart.policy = "always"

[servers."httpd@www"]
count = 2000
needs = ["db", "htpd@www"]
limits = ["memory=much"]

[servers.web]
role = "htpd"
[servers."x@/prod"]
program = "x"

[domains.www]
strategy = "one-for-on"
[other]
`
	_, err := Parse("site.toml", text, Said{})
	want := []string{
		`site.toml:3:1: unknown key dommain in [ensemble]: did you mean "domain"?`,
		`site.toml:6:1: unknown key programm in [roles.httpd]: did you mean "program"?`,
		`site.toml:7:1: roles.httpd.ready: the probe "notfy" is none of`,
		`site.toml:8:1: roles.httpd.within is 30ns: write a duration such as "1m30s"`,
		`site.toml:9:8: "8080" is no address: write HOST:PORT, such as localhost:8080, or unix:PATH`,
		`site.toml:10:9: roles.httpd.restart.policy cannot be "always": known are permanent, temporary, transient`,
		`site.toml:12:10: servers."httpd@www" has no program: write program = "PATH", or give it a role that has one`,
		`site.toml:13:1: servers."httpd@www".count cannot be 2000: write a number from 0 to 1000`,
		`site.toml:14:10: it needs "db", which is no entry of [servers]: known are`,
		`site.toml:14:16: it needs "htpd@www", which is no entry of [servers]: did you mean "httpd@www"?`,
		`site.toml:15:11: limit: `,
		`site.toml:18:1: there is no role "htpd": did you mean "httpd"?`,
		`site.toml:19:10: the domain /prod is outside of /test, which is that of the ensemble: write one below it, such as /test/www`,
		`site.toml:23:1: domains.www.strategy cannot be "one-for-on": did you mean "one-for-one"?`,
		`site.toml:24:2: unknown key other: `,
	}
	if err == nil {
		t.Fatal("there is no mistake")
	}
	got := strings.Split(err.Error(), "\n")
	for i := range max(len(got), len(want)) {
		switch {
		case i >= len(got):
			t.Errorf("missing: %s", want[i])
		case i >= len(want):
			t.Errorf("beyond: %s", got[i])
		case !strings.HasPrefix(got[i], want[i]):
			t.Errorf("got\n%s\nwant\n%s", got[i], want[i])
		}
	}
}

func TestRefused(t *testing.T) {
	const head = "[ensemble]\ndomain = \"/test\"\n"
	for text, why := range map[string]string{
		"":                               `the ensemble has no domain: write domain = "/NAME" below [ensemble]`,
		"[ensemble]\ndomain = \"/\"\n":   "is that of everybody",
		"[ensemble]\ndomain = \"test\"":  `does not begin with "/": write /test`,
		head + "[servers.a]\nprogram=1":  `site.toml:4:9: servers.a.program cannot be a whole number: write a string`,
		head + "[servers.a@x]":           "not valid TOML",
		head + "[servers.\"a/b\"]":       `name "a/b" cannot have '/'`,
		head + "[servers.\"a@../prod\"]": "is outside of /test",
		head + "[servers.a]\nprogram=\"a\"\nneeds=[\"a\"]\n":                                                                                              "a@/test needs itself",
		head + "[servers.a]\nprogram=\"a\"\nneeds=[\"b\"]\n[servers.b]\nprogram=\"b\"\nneeds=[\"a\"]\n":                                                   "need each other",
		head + "[servers.\"a@x\"]\nprogram=\"a\"\nneeds=[\"b@y\"]\n[servers.\"b@y\"]\nprogram=\"b\"\nneeds=[\"c@x\"]\n[servers.\"c@x\"]\nprogram=\"c\"\n": "/test/y and /test/x need each other",
		head + "[servers.a]\nprogram=\"a\"\ncount=2\n[servers.a-1]\nprogram=\"a\"\n":                                                                      "a-1@/test has the name of the server a-1@/test",
		head + "[servers.www]\nprogram=\"a\"\n[servers.\"a@www\"]\nprogram=\"a\"\n":                                                                       "www@/test has the name of the domain /test/www",
		head + "[servers.\"a\"]\nprogram=\"a\"\n[servers.\"a@/test\"]\nprogram=\"a\"\n":                                                                   `servers."a@/test" is servers.a once more`,
		head + "[domains.x]\n[domains.\"/test/x\"]\n":                                                                                                     "once more",
		head + "[servers.a]\nprogram=\"a\"\nlisten.x=\":1\"\n[servers.b]\nprogram=\"b\"\nlisten.x=\":2\"\n":                                               "another server there has one of this name at :1",
		head + "[servers.a]\nprogram=\"a\"\nlisten.x=\":1\"\n[servers.\"b@c\"]\nprogram=\"b\"\nlisten.x=\":1\"\n":                                         "the address :1 is that of the socket x in /test",
		head + "[servers.a]\nprogram=\"a\"\nhealth=\"notify\"\n":                                                                                          "nobody can ask for that",
		head + "[servers.a]\nprogram=\"a\"\nlabels.\"a=b\"=\"\"\n":                                                                                        "label: name",
		head + "[servers.a]\nprogram=\"a\"\nenv.\"a=b\"=\"\"\n":                                                                                           "cannot be a variable",
		head + "[servers.a]\nprogram=\"a\"\nalso=[\"x\", \"a,b\"]\n":                                                                                      "site.toml:5:12: role: name",
		head + "[servers.a]\nprogram=\"{exe}\"\n":                                                                                                         "site.toml:4:1: {exe}: exe has no name: give one, as it is called in {exe.NAME}",
		head + "[servers.a]\nprogram=\"a\"\nargs=[\"x\", \"{fs./etc}\"]\n":                                                                                `site.toml:5:12: {fs./etc}: name "/etc" cannot have '/'`,
		head + "[base]\ndir=\"{env.}\"\n[servers.a]\nprogram=\"a\"\nenv.X=\"{env}\"":                                                                      "site.toml:7:5: {env}: env has no name",
	} {
		if _, err := Parse("site.toml", text, Said{}); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%s\n%v; want an error with %q", text, err, why)
		}
	}
}

func TestPlan(t *testing.T) {
	before := parse(t, site, nil)
	after := parse(t, strings.NewReplacer(`"debug"`, `"warn"`, `program = "./db"`, "program = \"./db2\"\nneeds = []", `[servers."front@`, `[servers."back@`).Replace(site),
		Counts{"httpd@/test/www": 1})
	want := []Change{
		{"back@/test/www/eu", Start, nil}, {"db@/test", Replace, []string{"program"}}, {"front@/test/www/eu", Stop, nil},
		{"httpd-0@/test/www", Replace, []string{"env"}}, {"httpd-1@/test/www", Stop, nil},
	}
	if got := Plan(before, after); !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%v\nwant\n%v", got, want)
	}
	if got := Plan(after, after); len(got) != 0 {
		t.Errorf("nothing changes, and %v does", got)
	}
	if got := Plan(nil, before); len(got) != 4 || got[0].Kind != Start {
		t.Errorf("nothing was there, and %v changes", got)
	}
}

// FuzzParse: what is read has servers of different names in the domain of the ensemble, each after what it needs.
func FuzzParse(f *testing.F) {
	f.Add(site, "httpd@/test/www", 3)
	f.Add("[ensemble]\ndomain = \"/a\"\n[servers.\"b@c/d\"]\nprogram = \"x\"\nneeds = [\"e@c\"]\n[servers.\"e@c\"]\nprogram = \"y\"\n", "", 0)
	f.Add("[ensemble]\ndomain = 1\n[base]\nargs = 2\n[servers]\na = 1\n[domains]\nb = []\n", "x", -1)
	f.Fuzz(func(t *testing.T, text, scaled string, n int) {
		counts := Counts{}
		if scaled != "" {
			counts[scaled] = n
		}
		e, err := Parse("fuzz.toml", text, Said{Counts: counts, Down: []string{scaled}})
		if err != nil {
			return
		}
		seen, ready := map[string]bool{}, map[string]bool{}
		for _, g := range e.Root.Groups() {
			for _, other := range g.Needs {
				if !ready[other.String()] {
					t.Errorf("%v starts before %v, which it needs", g.ID, other)
				}
			}
			ready[g.ID.String()] = true
			if len(g.Servers()) > MaxCount {
				t.Errorf("there are %d of %v", len(g.Servers()), g.ID)
			}
			for _, s := range g.Servers() {
				if seen[s.String()] || !strings.HasPrefix(s.Domain+"/", e.Domain+"/") || g.Program == "" {
					t.Errorf("%v of %s, which has %v", s, e.Domain, seen)
				}
				seen[s.String()] = true
			}
		}
		if changes := Plan(e, e); len(changes) != 0 {
			t.Errorf("nothing changes, and %v does", changes)
		}
	})
}
