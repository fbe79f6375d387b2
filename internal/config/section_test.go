package config

import (
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/pelletier/go-toml/v2"
)

type limits struct {
	Burst int
	Wait  time.Duration
}

// options are like those of a component: with every kind of field that finds its way in.
type options struct {
	limits    // promoted
	Greeting  string
	Rate      float64
	Debug     bool
	Small     uint8
	Timeout   time.Duration
	Retries   []time.Duration
	Peers     map[string]limits
	Optional  *limits
	Addr      netip.Addr
	List      []limits `toml:"list_of_limits"`
	Any       any
	unexposed int
}

var errGreeting = errors.New("greeting is rude")

func (o *options) Validate() error {
	if o.unexposed++; o.Greeting == "Oi" {
		return fmt.Errorf("cannot greet: %w", errGreeting)
	}
	return nil
}

func parseSections(t testing.TB, text string) map[string]Section {
	t.Helper()
	app, err := Parse("conf/the app.toml", text, shop)
	if err != nil {
		t.Fatal(err)
	}
	return app.Sections
}

// TestCanonical: sections that say the same are alike, and others are not.
func TestCanonical(t *testing.T) {
	const cart = "\n[\"example.com/shop/cart/Cart\"]\n"
	canonical := func(text string) string {
		return parseSections(t, text)["example.com/shop/cart/Cart"].Canonical()
	}
	same := canonical(cart + `a = "x y"
list = [1, 2]
at = 1979-05-27T07:32:00Z
peers.b = { wait = 1.5, "a\"b" = true }
peers.a.wait = 2
[["example.com/shop/cart/Cart".more]]
n = 1
`)
	again := canonical("# The shop.\n[divisi]\nname = \"shop\"\n" + cart + `# The cart.
a = 'x y'
at = 1979-05-27T07:32:00Z
list = [
	1, # one
	2,
]
more = [{ n = 1 }]
[divisi.groups.x]
components = ["example.com/shop/cart/Cart"]
["example.com/shop/cart/Cart".peers]
a = { wait = 2 }
b."a\"b" = true
b.wait = 15e-1
`)
	if same != again {
		t.Errorf("the same is\n%s\nand\n%s", same, again)
	}

	seen := map[string]string{}
	for _, text := range []string{
		"", "a = 1", "a = 1.0", "a = '1'", "a = true", "a = 'true'", "b = 1", "a = [1]", "a = [[1]]", "a = [1, 1]",
		"a = []", "a = {}", "a = { b = 1 }", "a = 0.1234567891", "a = 0.1234567892", "a = 1979-05-27", "a = '1979-05-27'",
		"a = nan", "a = inf", "a = -inf", "a = ''", "a = ['b', 'c']", "a = ['b,c']", `a = ["b\",\"c"]`,
	} {
		got := canonical(cart + text)
		if other, ok := seen[got]; ok {
			t.Errorf("%q and %q are both %s", text, other, got)
		}
		seen[got] = text
	}
	if broken := Section("a = "); broken.Canonical() != "a = " {
		t.Errorf("what is no TOML is %q", broken.Canonical())
	}
}

func TestDecode(t *testing.T) {
	const text = `"example.com/shop/cart/Cart".greeting = "Hi"
"example.com/shop/cart/Cart".Rate = 2

[divisi]
name = "shop" # [not a header]

["example.com/shop/cart/Store"]
burst = 7

[ "example.com/shop/cart/Cart" . peers . "eu.1" ] # one
wait = "1m"
burst = 2

[["example.com/shop/cart/Cart".list_of_limits]]
burst = 3
[single]
[["example.com/shop/cart/Cart".list_of_limits]]
wait = "2s"
["example.com/shop/cart/Cart".optional]
burst = 4
`
	for name, text := range map[string]string{"LF": text, "CRLF": strings.ReplaceAll(text, "\n", "\r\n")} {
		sections := parseSections(t, text)
		o := options{Debug: true}
		if err := Decode(sections[cart], &o); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		want := options{
			Greeting:  "Hi",
			Rate:      2,
			Debug:     true,
			Peers:     map[string]limits{"eu.1": {2, time.Minute}},
			Optional:  &limits{Burst: 4},
			List:      []limits{{Burst: 3}, {Wait: 2 * time.Second}},
			unexposed: 1,
		}
		if !reflect.DeepEqual(o, want) {
			t.Errorf("%s: got %+v\nwant %+v", name, o, want)
		}
		var l limits
		if err := Decode(sections[store], &l); err != nil || l.Burst != 7 {
			t.Errorf("%s: %+v, %v", name, l, err)
		}
	}
}

func TestDecodeDurations(t *testing.T) {
	sections := parseSections(t, `["example.com/shop/cart/Cart"]
timeout = "1h30m"
retries = ["1s", '2s', """3s"""]
wait = 5
any = "1h"
addr = "::1"
peers = { a = { wait = "1ms", burst = 1 }, b = { wait = "2ms" } }
`)
	var o options
	if err := Decode(sections[cart], &o); err != nil {
		t.Fatal(err)
	}
	want := options{
		limits:  limits{Wait: 5},
		Timeout: 90 * time.Minute, Retries: []time.Duration{1e9, 2e9, 3e9}, Any: "1h",
		Addr:      netip.IPv6Loopback(),
		Peers:     map[string]limits{"a": {1, 1e6}, "b": {0, 2e6}},
		unexposed: 1,
	}
	if !reflect.DeepEqual(o, want) {
		t.Errorf("got %+v\nwant %+v", o, want)
	}
}

// TestDecodeErrors has a mistake in the section of a component in the middle of a file.
func TestDecodeErrors(t *testing.T) {
	for _, tc := range []struct{ text, want string }{
		{`greetin = "x"`, `conf/the app.toml:6:1: unknown key greetin: did you mean "greeting"?`},
		{`qqqqqqqqq = "x"`, `conf/the app.toml:6:1: unknown key qqqqqqqqq: known are addr, any, burst, debug, greeting, list_of_limits, optional, peers, rate, retries, small, timeout and 1 more`},
		{`burst = "x"`, `conf/the app.toml:6:9: burst cannot be a string: write a whole number`},
		{`timeout = "soon"`, `conf/the app.toml:6:11: timeout cannot be "soon": write a duration such as "1m30s"`},
		{`retries = ["1s", "x"]`, `conf/the app.toml:6:18: retries cannot be "x": write a duration such as "1m30s"`},
		{`retries = ["1s", "1s", true]`, `conf/the app.toml:6:24: an element of retries cannot be true or false: write a duration such as "1m30s"`},
		{`peers = { a = { wait = "1h", brst = 1 } }`, `conf/the app.toml:6:30: unknown key brst in [peers.a]: did you mean "burst"?`},
		{`addr = "nowhere"`, `conf/the app.toml:6:8: addr: ParseAddr("nowhere"): unable to parse IP`},
		{`small = -1`, `conf/the app.toml:6:9: small cannot be -1: write a whole number from 0 to 255`},
		{`small = 256`, `conf/the app.toml:6:9: small cannot be 256: write a whole number from 0 to 255`},
		{`rate = "x"`, `conf/the app.toml:6:8: rate cannot be a string: write a number`},
		{`small = "x"`, `conf/the app.toml:6:9: small cannot be a string: write a whole number that is not negative`},
		{`greeting = 2020-01-02`, `conf/the app.toml:6:12: greeting cannot be a date: write a string`},
		{`unexposed = 1`, `conf/the app.toml:6:1: unknown key unexposed: known are addr, any, burst, debug, greeting, list_of_limits, optional, peers, rate, retries, small, timeout and 1 more`},
		{`greeting = "Oi"`, `conf/the app.toml:5:1: cannot greet: greeting is rude`},
		{`["` + cart + `".optional.deep]`, `conf/the app.toml:6:40: unknown key deep in [optional]: known are burst, wait`},
		{`[["` + cart + `".optional]]`, `conf/the app.toml:6:32: optional cannot be a list of tables: write a table`},
	} {
		sections := parseSections(t, `["example.com/shop/pay/Pay"]
a = 1
[divisi]
name = "shop"
["example.com/shop/cart/Cart"]
`+tc.text+`
["example.com/shop/cart/Store"]
b = 2
`)
		var o options
		err := Decode(sections[cart], &o)
		if err == nil || err.Error() != tc.want {
			t.Errorf("%s:\ngot  %v\nwant %s", tc.text, err, tc.want)
		}
		if strings.Contains(tc.text, "Oi") && !errors.Is(err, errGreeting) {
			t.Errorf("%v is not the error of Validate", err)
		}
	}
}

// TestDecodeForeign decodes what another deployer made of a file, without its places.
func TestDecodeForeign(t *testing.T) {
	var o options
	if err := Decode("Greeting = \"Hi\"\n", &o); err != nil || o.Greeting != "Hi" {
		t.Errorf("%+v, %v", o, err)
	}
	for section, want := range map[Section]string{
		"ayn = 1":                       `section:1:1: unknown key ayn: did you mean "any"?`,
		"a = ":                          `section:1:4: not valid TOML: expected value, not end of input`,
		"\n#divisi:section nonsense":    ``,
		"greeting = 'Oi'":               `section:1:1: cannot greet: greeting is rude`,
		"\n\n#divisi:section \"x\" 1 2": ``,
	} {
		if err := Decode(section, &o); err == nil && want != "" || err != nil && err.Error() != want {
			t.Errorf("%q: got %v, want %s", section, err, want)
		}
		o = options{}
	}
	for _, v := range []any{nil, options{}} {
		if err := Decode("greeting = 'x'", v); err == nil || !strings.Contains(err.Error(), "pass a pointer") {
			t.Errorf("into %T: %v", v, err)
		}
	}
	var keys struct{ M map[bool]string }
	if err := Decode("m.x = 'y'", &keys); err == nil || err.Error() != "section:1:3: m.x cannot be a string: write true or false" {
		t.Errorf("a map with odd keys: %v", err)
	}
}

func TestOddFileNames(t *testing.T) {
	for _, file := range []string{"", "a b.toml", "a\"b\\c\n#.toml", "\xff\x00.toml", "Ünï.toml"} {
		app, err := Parse(file, "[\""+cart+"\"]\nx = 1", shop)
		if err != nil {
			t.Fatal(err)
		}
		want := file + ":2:1: unknown key x: did you mean"
		if err := Decode(app.Sections[cart], &options{}); err == nil || !strings.HasPrefix(err.Error(), file+":2:1: ") {
			t.Errorf("%q: %v, want %s", file, err, want)
		}
	}
}

// FuzzParse looks for panics, for places outside of the text, and for sections that lose or
// invent something.
func FuzzParse(f *testing.F) {
	f.Add("")
	f.Add("[divisi]\nname = \"x\"\nrollout = \"1h\"\ncolocate = [[\"example.com/shop/cart/Cart\"]]\n")
	f.Add("[serviceweaver]\n[multi]\nlisteners.shop = {address = \":80\", adress = 1}\nreplicas = {x = 1}")
	f.Add("\"example.com/shop/cart/Cart\".a = 1\n[\"example.com/shop/cart/Cart\".b]\nc = '''\n[x]\n'''\n[kube]\n[[\"example.com/shop/cart/Cart\".d]]")
	f.Add("[\"example.com/shop/cart/Cart\"]\r\na = [1,\r\n 2] # x\r\n[divisi.groups.\"cart.Cart\"]\r\nreplicas = 0")
	f.Add("[example.com/x]\n")
	f.Fuzz(func(t *testing.T, text string) {
		app, err := Parse("app.toml", text, shop)
		checkPlaces(t, err, text)
		single, singleErr := ParseSingle("app.toml", text, shop)
		checkPlaces(t, singleErr, text)
		if err != nil {
			return
		}
		if singleErr != nil || !reflect.DeepEqual(single.Sections, app.Sections) {
			t.Errorf("%q: in one process %v, with the sections %v", text, singleErr, single.Sections)
		}
		var all map[string]any
		if err := toml.Unmarshal([]byte(strings.TrimPrefix(text, "\uFEFF")), &all); err != nil {
			t.Fatalf("%q is not TOML: %v", text, err)
		}
		for component, section := range app.Sections {
			var got map[string]any
			if err := Decode(section, &got); err != nil {
				t.Fatalf("%q: section %q: %v", text, section, err)
			}
			want := theirs(all[component])
			if component == main && want == nil {
				continue // under its old name
			}
			if fmt.Sprint(want) != fmt.Sprint(got) {
				t.Errorf("%q: section %s is %v, want %v", text, component, got, want)
			}
			checkPlaces(t, Decode(section, &options{}), text)
		}
	})
}

func checkPlaces(t *testing.T, err error, text string) {
	list := []error{err}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		list = joined.Unwrap()
	}
	lines := strings.Split(text, "\n")
	for _, err := range list {
		var e *Error
		switch {
		case err == nil:
		case !errors.As(err, &e) || e.Line < 1 || e.Col < 1 || e.Line > len(lines) || e.Col > len(lines[e.Line-1])+1:
			t.Errorf("%q: %v is outside of the text", text, err)
		}
	}
}

// FuzzDecode decodes foreign sections, and what is TOML and what is not as the library does.
func FuzzDecode(f *testing.F) {
	for text := range documents {
		f.Add(text)
	}
	f.Add("greeting = \"Hi\"\ntimeout = \"1h\"\nretries = [\"1s\", [\"2s\"]]\n[[list_of_limits]]\nwait = '1m'")
	f.Add("peers = { a = { wait = \"1h\", brst = 1 } }\n#divisi:section \"x\" 3 4")
	f.Add("limits.burst = 1\nany.x.y = [{a = 1}]\naddr = \"::1\"\n[optional.wait]")
	f.Fuzz(func(t *testing.T, section string) {
		var o options
		err := Decode(Section(section), &o)
		var e *Error
		if err != nil && !errors.As(err, &e) {
			t.Errorf("%q: error %v has no place", section, err)
		}
		differ(t, section)
	})
}
