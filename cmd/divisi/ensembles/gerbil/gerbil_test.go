package gerbil

import (
	"reflect"
	"strings"
	"testing"

	"github.com/divisi-go/divisi/internal/ensemble"
)

// walk is the ensemble of the walk-through: a role with the configuration of its httpd, and two workers.
const walk = `config:
ensemble-v0
roles:
((httpd server-config:
        (config:
         ensemble-server-v0
         application:
         ((httpd config:
                 httpd-v0
                 root:
                 "www"
                 listen:
                 ("0.0.0.0:8080")
                 handlers:
                 (("/handler" . :demo/handler))
                 enable-servlets:
                 #t))
         env:
         #f)
        exe:
        "gerbil"
        prefix:
        ("httpd" "server")
        policy:
        restart))
preload:
(workers: ((/test/www prefix: httpd role: httpd servers: 2)))
domain:
/test
root:
"root"
`

// TestWalk: the ensemble of the walk-through is one of two workers that share a port, and what is not in it is told. Outcomes 13
// and 21.
func TestWalk(t *testing.T) {
	text, notes, err := convert("", []file{{"config", walk}})
	if err != nil {
		t.Fatal(err)
	}
	e, err := ensemble.Parse("ensemble.toml", text, ensemble.Said{})
	if err != nil {
		t.Fatal(err)
	}
	servers := e.Servers()
	if len(servers) != 2 || servers[1].String() != "httpd-1@/test/www" {
		t.Fatalf("the servers are %v in\n%s", servers, text)
	}
	g := servers[1].Of
	if g.Program != "divisi" || !reflect.DeepEqual(g.Args, []string{"httpd"}) || !*g.Follows || g.Listen["httpd"] != "0.0.0.0:8080" || g.Restart.Policy != "permanent" ||
		!reflect.DeepEqual(servers[1].Config, map[string]any{"root": "www", "servlets": true}) {
		t.Errorf("%+v with %v in\n%s", g, servers[1].Config, text)
	}
	wantNotes(t, notes, "config:15: the handler (\"/handler\" . :demo/handler): ", "config:17: enable-servlets: ", `config:31: root "root": `)
}

func wantNotes(t *testing.T, notes []Note, want ...string) {
	t.Helper()
	for i, n := range notes {
		if i >= len(want) || !strings.HasPrefix(n.String(), want[i]) {
			t.Errorf("note %d is %v", i, n)
		}
	}
	if len(notes) < len(want) {
		t.Errorf("these are missing: %v", want[len(notes):])
	}
}

// TestForms: what a file of each form says is where it belongs. Defects 6 and 7.
func TestForms(t *testing.T) {
	for name, test := range map[string]struct {
		content string
		want    string // what is in the document
		notes   []string
	}{
		"an httpd alone": {`(config: httpd-v0 root: "site" listen: ((ssl: "0.0.0.0:443" "cert.pem" "key.pem") ":80") request-log: "log" max-token-length: 1024)`,
			`[servers.httpd] & httpd = '0.0.0.0:443' & root = 'site' & tls-cert = 'cert.pem' tls-key = 'key.pem' & access-log = 'log' & follows = true`,
			[]string{`f:1: listen ":80": `, "f:1: max-token-length: "}},
		"an httpd that says nothing": {"config: httpd-v0", "0.0.0.0:8080", nil},
		"a server, which start-server refused": {"config: ensemble-server-v0\nrole: db exe: \"db\"\nargs: (\"-x\" \"a\\\"b\\n\") secondary-roles: (store) envvars: (\"A=b=c\" \"D\")\npolicy: never cookie: \"x\" odd: 1",
			`[roles.db] & program = 'db' & args = ['-x', "a\"b\n"] & also = ['store'] & A = 'b=c' & policy = 'temporary'`,
			[]string{`f:3: "D" is no variable`, "f:4: cookie: nobody shares a secret", "f:4: odd: nothing is known"}},
		"a program of its own": {`config: ensemble-v0 roles: ((rlb exe: "rlb" prefix: ("-v") suffix: (more) server-config: (config: ensemble-server-v0 env: "rlb" ` +
			`application: ((rlb config: rlb-v0 listen: "0.0.0.0:8080" proxies: ("a:1" "b:2") depth: (x: 1 y: #t))))))`,
			`args = ['-v', '{server}', 'more'] & [roles.rlb.config.rlb] listen = '0.0.0.0:8080' proxies = ['a:1', 'b:2'] [roles.rlb.config.rlb.depth] x = 1 y = true`,
			[]string{"f:1: the argument with the id", `f:1: env "rlb": divisi push env`, "f:1: the program rlb finds its configuration"}},
		// The defect of preload-server and preload-workers: keys and values the wrong way round; and a configuration that was ignored.
		"a preload with values before keys": {`config: ensemble-v0 roles: ((db exe: "db")) preload: (servers: ((/test/x db server: db role: (envvars: ("A=1")) server-config:)) workers: ((/test 3 servers: db role: w prefix:)))`,
			`[servers.'db@/test/x'] role = 'db' [servers.'db@/test/x'.env] A = '1' & [servers.'w@/test'] count = 3 role = 'db'`,
			[]string{"f:1: the argument", "f:1: db stands before its key server:", "f:1: db stands before its key role:", "f:1: (envvars: (\"A=1\")) stands before", "f:1: 3 stands before", "f:1: db stands", "f:1: w stands"}},
		"services": {`config: ensemble-v0 domain: /test public-address: "0.0.0.0:4999" services: (registry: (config: ensemble-server-v0)) vault: 1`, `domain = '/test'`,
			[]string{"f:1: public-address", "f:1: the service registry: the keeper", "f:1: vault: nothing is known"}},
		"a part": {"; no form\npreload: (workers: ((/test prefix: a role: b servers: many)))\nroles: ((b exe: |odd name|) ())", `count = 1 & program = 'odd name'`,
			[]string{"f:2: many is no number", "f:3: the argument", "f:3: () is no role"}},
	} {
		text, notes, err := convert("/test", []file{{"f", test.content}})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		wantIn(t, name, text, test.want)
		wantNotes(t, notes, test.notes...)
	}
}

// wantIn looks for parts of a document, between which there is " & ".
func wantIn(t *testing.T, name, text, want string) {
	t.Helper()
	flat := strings.Join(strings.Fields(text), " ")
	for part := range strings.SplitSeq(want, " & ") {
		if !strings.Contains(flat, part) {
			t.Errorf("%s: %s is not in\n%s", name, part, text)
		}
	}
}

func TestWrong(t *testing.T) {
	for content, want := range map[string]string{
		"":                                       "f:1: it has no form that is known",
		"config: rlb-v0":                         `f:1: it has no form that is known, but "rlb-v0"`,
		"config: ensemble-v0\n(a\n(b":            "f:3: the list that begins here has no end",
		"config: ensemble-v0\n\"a":               "f:2: the text that begins here has no end",
		"config: ensemble-v0 )":                  "f:1: there is ')', and no list that ends",
		"(a . )":                                 "f:1: nothing follows the dot",
		"(a . b c)":                              "f:1: something follows what is behind the dot",
		"a '":                                    "f:1: nothing is quoted",
		"\xff":                                   "f:1: it is no text in UTF-8",
		strings.Repeat("(", maxDepth+1):          "within each other",
		strings.Repeat("'", maxDepth+1) + "a":    "within each other",
		strings.Repeat(" ", maxText+1):           "at most 1048576 are read",
		"config: ensemble-v0 domain: /":          "makes no ensemble",
		"config: ensemble-v0 roles: ((\"a b\"))": "makes no ensemble",
	} {
		if text, _, err := convert("/test", []file{{"f", content}}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.30s: %v, %s; want %s", content, err, text, want)
		}
	}
	if _, _, err := convert("", []file{{"f", "config: httpd-v0"}}); err == nil || !strings.Contains(err.Error(), "--domain") {
		t.Error(err)
	}
}

// FuzzConvert: whatever is in a file, what comes of it is an ensemble, or an error.
func FuzzConvert(f *testing.F) {
	f.Add(walk)
	f.Add("(config: ensemble-server-v0 role: x exe: self args: (a . b) application: ((y z: (1 . 2) w: (#t \"q\" |r|))) env: 'e)")
	f.Add("config: httpd-v0 listen: 1 handlers: (a (b . c)) ; d\n")
	f.Add("config: ensemble-v0 preload: (servers: (() (/a)) workers: ((/b servers: -1) x) y: z) roles: (a (b role: c))")
	f.Fuzz(func(t *testing.T, content string) {
		text, notes, err := convert("/test", []file{{"f", content}})
		if err != nil {
			return
		}
		if _, err := ensemble.Parse("f", text, ensemble.Said{}); err != nil {
			t.Errorf("%v\n%s", err, text)
		}
		for _, n := range notes {
			if n.Line < 1 || n.Line > strings.Count(content, "\n")+1 || n.Why == "" {
				t.Errorf("%v is a note of %q", n, content)
			}
		}
	})
}
