package config

import (
	"errors"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

const (
	cart  = "example.com/shop/cart/Cart"
	store = "example.com/shop/cart/Store"
	pay   = "example.com/shop/pay/Pay"
	main  = "github.com/divisi-go/divisi/Main"
)

var shop = Options{
	Components: []string{main, cart, store, pay},
	Listeners:  []string{"shop", "admin"},
}

func TestParse(t *testing.T) {
	const text = `# The shop.
["example.com/shop/cart/Cart"]
limit = 100

[serviceweaver]
name = "shop"
binary = "bin/shop"
args = ["-v", "--fast"]
env = ["REGION=eu", "EMPTY="]
colocate = [["example.com/shop/cart/Cart", "example.com/shop/cart/Store"]]
rollout = "10m"
replicas = 5
start = "1m"
drain = "1m"
orphan = "serve"
restart = { policy = "transient", intensity = 3, window = "2m" }
metrics.local = true

[serviceweaver.groups.pay]
replicas = 3
components = ["example.com/shop/pay/Pay"]
restart.policy = "permanent"

[serviceweaver.groups."cart.Cart"]
replicas = 4
start = "2m"
hung = "9s"
stop = "8s"
restart.max_backoff = "1h"

[single]
listeners.shop = { address = "localhost:8080" }

[multi]
listeners.shop = { address = ":80" }
listeners.admin.address = "unix:///run/admin:1"
env = ["DEBUG=1"]
mtls = true

[kube]
anything = { at = "all" }
`
	got, err := Parse("conf/app.toml", text, shop)
	if err != nil {
		t.Fatal(err)
	}
	all := Restart{Policy: "transient", Intensity: 3, Window: 2 * time.Minute}
	ofPay, ofCart := all, all
	times := Times{Start: time.Minute, Drain: time.Minute}
	timesOfCart := Times{Start: 2 * time.Minute, Hung: 9 * time.Second, Drain: time.Minute, Stop: 8 * time.Second}
	ofPay.Policy, ofCart.MaxBackoff = "permanent", time.Hour
	want := App{
		File:     "conf/app.toml",
		Name:     "shop",
		Binary:   filepath.Join("conf", "bin", "shop"),
		Args:     []string{"-v", "--fast"},
		Env:      []string{"REGION=eu", "EMPTY="},
		Rollout:  10 * time.Minute,
		Replicas: 5,
		Drain:    time.Minute,
		Times:    times,
		Restart:  all,
		Orphan:   OrphanServe,
		Metrics:  Metrics{Local: true},
		Groups: []Group{
			{Name: "cart", Components: []string{cart, store}, Replicas: 4, Times: timesOfCart, Restart: ofCart},
			{Name: "pay", Components: []string{pay}, Replicas: 3, Times: times, Restart: ofPay},
			{Name: "main", Components: []string{main}, Times: times, Restart: all},
		},
		Single: Single{Listeners: map[string]Listener{"shop": {Address: "localhost:8080"}}},
		Process: Process{
			Listeners: map[string]Listener{"shop": {":80"}, "admin": {"unix:///run/admin:1"}},
			MTLS:      true,
			Env:       []string{"DEBUG=1"},
		},
		Sections: map[string]Section{cart: "\n" + spaces(30) + "\nlimit = 100\n#divisi:section \"conf/app.toml\" 2 1\n"},
		Ignored:  []string{"conf/app.toml:40:2: [kube]"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

// TestParseSingle: in one process a file means the same, but for what only deployers use.
func TestParseSingle(t *testing.T) {
	const text = `[divisi]
name = "shop"
drain = "1m"
metrics.local = true
colocate = [["example.com/shop/no/No"]]
restart.policy = "sometimes"
[single]
listeners.shop.address = ":1"
[process]
env = ["nothing"]
["example.com/shop/cart/Cart"]
limit = 1
`
	got, err := ParseSingle("app.toml", text, shop)
	want := App{
		File: "app.toml", Name: "shop", Drain: time.Minute, Metrics: Metrics{Local: true},
		Single:   Single{Listeners: map[string]Listener{"shop": {":1"}}},
		Sections: got.Sections,
	}
	if err != nil || !reflect.DeepEqual(got, want) || len(got.Sections) != 1 {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	for text, want := range map[string]string{
		"[divisi]\ncolocate = 'x'":                "app.toml:2:12: ",
		"[divisi]\nnmae = 'x'":                    "app.toml:2:1: ",
		"['example.com/No']":                      "app.toml:1:2: ",
		"[single]\nlisteners.shp.address = ':80'": "app.toml:2:11: ",
		"[x": "app.toml:1:2: ",
	} {
		if _, err := ParseSingle("app.toml", text, shop); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}

func spaces(n int) Section { return Section(strings.Repeat(" ", n)) }

func TestDefaults(t *testing.T) {
	for name, o := range map[string]Options{"known": shop, "unknown": {}} {
		got, err := Parse("", "", o)
		if err != nil {
			t.Fatal(err)
		}
		want := App{
			Drain: DefaultDrain, Orphan: OrphanExit,
			Sections: map[string]Section{},
		}
		if name == "known" {
			want.Groups = []Group{
				{Name: "cart", Components: []string{cart}},
				{Name: "store", Components: []string{store}},
				{Name: "pay", Components: []string{pay}},
				{Name: "main", Components: []string{main}},
			}
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got  %+v\nwant %+v", name, got, want)
		}
	}
}

func TestOldNames(t *testing.T) {
	for _, head := range []string{
		"divisi", "serviceweaver", `"github.com/ServiceWeaver/weaver"`, `"github.com/divisi-go/divisi"`,
		"Divisi",
	} {
		app, err := Parse("app.toml", "["+head+"]\nname = 'x'\n", Options{})
		if err != nil || app.Name != "x" {
			t.Errorf("[%s]: %q, %v", head, app.Name, err)
		}
	}
	for _, text := range []string{
		"[multi]\nmtls = true", "[process]\nmtls = true", "multi.mtls = true", "multi = { mtls = true }",
	} {
		app, err := Parse("app.toml", text, Options{})
		if err != nil || !app.Process.MTLS {
			t.Errorf("%s: %+v, %v", text, app.Process, err)
		}
	}
	old := `["github.com/ServiceWeaver/weaver/Main"]
x = 1
[divisi]
colocate = [["github.com/ServiceWeaver/weaver/Main", "` + cart + `"]]`
	app, err := Parse("app.toml", old, shop)
	if err != nil {
		t.Fatal(err)
	}
	if got := app.Groups[0]; got.Name != "main" || got.Components[0] != main {
		t.Errorf("group %+v", got)
	}
	if _, ok := app.Sections[main]; !ok {
		t.Errorf("sections %v", app.Sections)
	}
}

func TestNameAndBinary(t *testing.T) {
	abs := filepath.Join(t.TempDir(), "prog.exe")
	for _, tc := range []struct{ file, text, name, binary string }{
		{"app.toml", `binary = "./hello"`, "hello", "./hello"},
		{"app.toml", `binary = "hello"`, "hello", "./hello"},
		{"dir/app.toml", `binary = "../hello"`, "hello", "./hello"},
		{"dir/app.toml", `binary = "hello"`, "hello", "dir/hello"},
		{"dir/app.toml", `binary = '` + abs + `'`, "prog", abs},
		{"app.toml", "binary = 'hello world'\nname = 'hello'", "hello", "./hello world"},
		{"app.toml", "name = 'hello'", "hello", ""},
	} {
		app, err := Parse(tc.file, "[divisi]\n"+tc.text, Options{})
		if err != nil {
			t.Errorf("%s: %v", tc.text, err)
		}
		if app.Name != tc.name || filepath.ToSlash(app.Binary) != filepath.ToSlash(tc.binary) {
			t.Errorf("%s: name %q, binary %q; want %q, %q", tc.text, app.Name, app.Binary, tc.name, tc.binary)
		}
	}
}

func TestGroupNames(t *testing.T) {
	names := func(app App) (names []string) {
		for _, g := range app.Groups {
			names = append(names, g.Name)
		}
		return names
	}
	twins := Options{Components: []string{"a.com/cart/Cart", "b.com/cart/Cart", "a.com/pay/Pay"}}
	app, err := Parse("app.toml", "[divisi.groups.'a.com/cart/Cart']\nreplicas = 3", twins)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"a.com/cart/Cart", "pay", "b.com/cart/Cart"}; !slices.Equal(names(app), []string{want[0], want[1], want[2]}) {
		t.Errorf("names %q, want %q", names(app), want)
	}
	if app.Groups[0].Replicas != 3 || app.Groups[1].Replicas != 0 {
		t.Errorf("groups %+v, want 3 replicas of the first one", app.Groups)
	}

	// A name in the file wins over one that is made.
	app, err = Parse("app.toml", "[divisi.groups.cart]\ncomponents = ['"+pay+"']", shop)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"cart", cart, "store", "main"}; !slices.Equal(names(app), want) {
		t.Errorf("names %q, want %q", names(app), want)
	}

	// A group is found by the name of the group and by names of its first component.
	for _, key := range []string{"pay", "pay.Pay", pay} {
		app, err = Parse("app.toml", "[divisi.groups.'"+key+"']\nreplicas = 7\n[divisi]\nreplicas = 3", shop)
		if err != nil {
			t.Fatal(err)
		}
		if app.Groups[2].Replicas != 7 || app.Replicas != 3 {
			t.Errorf("%s: %+v", key, app)
		}
	}

	// Groups that begin with the same component have different names.
	app, err = Parse("app.toml", "[divisi]\ncolocate = [['"+cart+"', '"+pay+"'], ['"+cart+"'], ['"+store+"']]", shop)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{cart, cart + "-2", "store", "main"}; !slices.Equal(names(app), want) {
		t.Errorf("names %q, want %q", names(app), want)
	}

	// Full names give way to names in the file that replicas would share with them, too.
	app, err = Parse("app.toml", "[divisi.groups.'A.com-cart-Cart']\ncomponents = ['a.com/pay/Pay']", twins)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"A.com-cart-Cart", "a.com/cart/Cart-2", "b.com/cart/Cart"}; !slices.Equal(names(app), want) {
		t.Errorf("names %q, want %q", names(app), want)
	}

	// Without the binary, groups are taken as they are written. The name of a list is known.
	app, err = Parse("app.toml", `divisi.groups.web.replicas = 2
divisi.groups.cart.replicas = 3
divisi.colocate = [["`+cart+`"], []]
`, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"cart", "web"}; !slices.Equal(names(app), want) {
		t.Errorf("names %q, want %q", names(app), want)
	}
	if app.Groups[0].Replicas != 3 || app.Groups[1].Replicas != 2 {
		t.Errorf("groups %+v, want 3 and 2 replicas", app.Groups)
	}
}

func TestColocate(t *testing.T) {
	known := Options{Components: []string{"a.com/cart/Cart", "b.com/cart/Cart", "a.com/pay/Pay"}}
	const text = `divisi.start = "1m"
[divisi.groups.web]
components = ["a.com/pay/Pay", "a.com/cart/Cart"]
replicas = 3
start = "2m"
restart.policy = "temporary"
[divisi.groups.cart]
components = ["a.com/cart/Cart"]
`
	minutes := func(n time.Duration) Times { return Times{Start: n * time.Minute} }
	web := Restart{Policy: "temporary"}
	for how, want := range map[string][]Group{
		"file": {
			{Name: "web", Components: []string{"a.com/pay/Pay", "a.com/cart/Cart"}, Replicas: 3, Times: minutes(2), Restart: web},
			{Name: "cart", Components: []string{"a.com/cart/Cart"}, Times: minutes(1)},
			{Name: "b.com/cart/Cart", Components: []string{"b.com/cart/Cart"}, Times: minutes(1)},
		},
		"all": {{Name: "all", Components: []string{"a.com/pay/Pay", "a.com/cart/Cart", "b.com/cart/Cart"}, Times: minutes(1)}},
		"none": {
			{Name: "pay", Components: []string{"a.com/pay/Pay"}, Times: minutes(2), Restart: web},
			{Name: "a.com/cart/Cart", Components: []string{"a.com/cart/Cart"}, Times: minutes(2), Restart: web},
			{Name: "b.com/cart/Cart", Components: []string{"b.com/cart/Cart"}, Times: minutes(1)},
		},
	} {
		app, err := Parse("app.toml", text, known)
		if err != nil {
			t.Fatal(err)
		}
		if err := app.Colocate(how); err != nil || !reflect.DeepEqual(app.Groups, want) {
			t.Errorf("%s: %v, groups\n%+v, want\n%+v", how, err, app.Groups, want)
		}
	}

	const want = `components cannot be colocated by "some": give file, all or none`
	if err := (&App{}).Colocate("some"); err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
}

func TestComponentInSeveralGroups(t *testing.T) {
	app, err := Parse("app.toml", `[divisi.groups]
one.components = ["`+cart+`", "`+pay+`"]
two.components = ["`+store+`", "`+pay+`", "`+main+`"]`, shop)
	if err != nil {
		t.Fatal(err)
	}
	if len(app.Groups) != 2 || app.Groups[0].Name != "one" || app.Groups[1].Name != "two" {
		t.Errorf("groups %+v", app.Groups)
	}
}

// TestErrors has texts with one mistake each, and the error with its place.
func TestErrors(t *testing.T) {
	for _, tc := range []struct{ text, want string }{
		// TOML itself.
		{"[divisi]\nname = ", `app.toml:2:7: not valid TOML: expected value, not end of input`},
		{"[example.com/shop/cart/Cart] # x", `app.toml:1:13: not valid TOML: expected ']' to close table name: write the path in quotes, ["example.com/shop/cart/Cart"]`},
		{"[divisi]\nname = 'a'\nname = 'b'", `app.toml:3:1: not valid TOML: key name is already defined: keep one of them`},
		{"\uFEFFx = ", `app.toml:1:4: not valid TOML: expected value, not end of input`},

		// Unknown names.
		{"[divisi]\nnmae = 'x'", `app.toml:2:1: unknown key nmae in [divisi]: did you mean "name"?`},
		{"[serviceweaver]\nargs = []\nnmae = 'x'", `app.toml:3:1: unknown key nmae in [serviceweaver]: did you mean "name"?`},
		{"[divisi]\nzzzzzz = 'x'", `app.toml:2:1: unknown key zzzzzz in [divisi]: known are args, binary, colocate, drain, env, groups, hung, metrics, name, orphan, replicas, restart and 3 more`},
		{"[divisi.restart]\nbackof = '1s'", `app.toml:2:1: unknown key backof in [divisi.restart]: did you mean "backoff"?`},
		{"[multi]\nlisteners.shop = { address = ':1', adress = ':1' }", `app.toml:2:36: unknown key adress in [multi.listeners.shop]: did you mean "address"?`},
		{"[multi]\nlistener.shop.address = ':1'", `app.toml:2:1: unknown key listener in [multi]: did you mean "listeners"?`},
		{"[divisi.groups.x.y]\nz = 1", `app.toml:1:18: unknown key y in [divisi.groups.x]: known are components, drain, hung, replicas, restart, start, stop`},
		{"[procss]\nmtls = true", `app.toml:1:2: unknown table [procss]: did you mean "process"?`},
		{"[metrics]\nlocal = true", `app.toml:1:2: unknown table [metrics]: metrics belongs into [divisi]`},
		{"name = 'x'", `app.toml:1:1: unknown table [name]: name belongs into [divisi]`},
		{"[cart.Cart]\nlimit = 1", `app.toml:1:2: unknown table [cart]: the section of a component has its full name, ["example.com/shop/cart/Cart"]`},
		{"[something]", `app.toml:1:2: unknown table [something]: known are divisi, process, single`},

		// Components.
		{`["example.com/shop/cart/Crat"]`, `app.toml:1:2: component "example.com/shop/cart/Crat" is not in the binary: did you mean "example.com/shop/cart/Cart"?`},
		{"[divisi]\ncolocate = [['" + cart + "'],\n ['shop/pay/Pay']]", `app.toml:3:3: component "shop/pay/Pay" is not in the binary: did you mean "example.com/shop/pay/Pay"?`},
		{"[divisi]\ncolocate = [['" + cart + "', '" + cart + "']]", `app.toml:2:44: component "example.com/shop/cart/Cart" is twice in this group: remove one`},
		{"[divisi.groups.x]\ncomponents = ['nope/Nope']", `app.toml:2:15: component "nope/Nope" is not in the binary: known are example.com/shop/cart/Cart, example.com/shop/cart/Store, example.com/shop/pay/Pay, github.com/divisi-go/divisi/Main`},
		{`"` + cart + `" = { limit = 1 }`, `app.toml:1:1: the section of a component is a table of its own: write it below a line ["example.com/shop/cart/Cart"]`},
		{`[["` + cart + `"]]`, `app.toml:1:3: the section of a component is one table: write ["example.com/shop/cart/Cart"]`},
		{"['" + cart + "'.x]\n['" + cart + "']", `app.toml:2:2: ["example.com/shop/cart/Cart"] comes after a table inside it: move it up`},

		// Both names of a table.
		{"[divisi]\n\n[serviceweaver.restart]", `app.toml:3:2: [serviceweaver] here and [divisi] in line 1 are the same table: keep [divisi] and move the other's keys into it`},
		{"multi.mtls = true\n[process]", `app.toml:2:2: [process] here and [multi] in line 1 are the same table: keep [process] and move the other's keys into it`},
		{"[serviceweaver]\n['github.com/ServiceWeaver/weaver']", `app.toml:2:2: ["github.com/ServiceWeaver/weaver"] here and [serviceweaver] in line 1 are the same table: keep [divisi] and move the other's keys into it`},

		// Values of the wrong type.
		{"[divisi]\nname = 3", `app.toml:2:8: divisi.name cannot be a whole number: write a string`},
		{"[serviceweaver]\nname = 3", `app.toml:2:8: serviceweaver.name cannot be a whole number: write a string`},
		{"[divisi]\nargs = 'x'", `app.toml:2:8: divisi.args cannot be a string: write a list`},
		{"[divisi]\nargs = ['x', 3]", `app.toml:2:14: an element of divisi.args cannot be a whole number: write a string`},
		{"[divisi]\ncolocate = ['" + cart + "']", `app.toml:2:13: an element of divisi.colocate cannot be a string: write a list`},
		{"[divisi]\nrestart = 'x'", `app.toml:2:11: divisi.restart cannot be a string: write a table`},
		{"[divisi.name]", `app.toml:1:9: divisi.name cannot be a table: write a string`},
		{"[[divisi]]", `app.toml:1:3: divisi cannot be a list of tables: write a table`},
		{"[divisi.restart]\nintensity = '3'", `app.toml:2:13: divisi.restart.intensity cannot be a string: write a whole number`},
		{"[divisi.restart]\nintensity = 1.5", `app.toml:2:13: divisi.restart.intensity cannot be a number with a fraction: write a whole number`},
		{"[process]\nmtls = 'yes'", `app.toml:2:8: process.mtls cannot be a string: write true or false`},
		{"[divisi]\nreplicas = { 'cart.Cart' = 3 }", `app.toml:2:12: divisi.replicas cannot be a table: write a whole number`},

		// Durations.
		{"[divisi]\nrollout = '1 hour'", `app.toml:2:11: divisi.rollout cannot be "1 hour": write a duration such as "1m30s"`},
		{"[divisi]\nrollout = true", `app.toml:2:11: divisi.rollout cannot be true or false: write a duration such as "1m30s"`},
		{"[divisi]\nrollout = 30", `app.toml:2:1: divisi.rollout is 30ns: write a duration such as "1m30s"`},
		{"[divisi]\ndrain = '-1s'", `app.toml:2:1: divisi.drain is -1s: write a duration such as "1m30s"`},
		{"[divisi]\nrestart = { window = '1m', backoff = '2m', polic = 'x' }", `app.toml:2:44: unknown key polic in [divisi.restart]: did you mean "policy"?`},
		{"[divisi]\nrestart = { window = '''1m''', backoff = 'x' }", `app.toml:2:42: divisi.restart.backoff cannot be "x": write a duration such as "1m30s"`},

		// Values out of range.
		{"[divisi]\norphan = 'survive'", `app.toml:2:1: divisi.orphan cannot be "survive": did you mean "serve"?`},
		{"[divisi.groups.'pay.Pay'.restart]\npolicy = 'always'", `app.toml:2:1: divisi.groups."pay.Pay".restart.policy cannot be "always": known are permanent, temporary, transient`},
		{"[divisi.restart]\nintensity = 0", `app.toml:2:1: divisi.restart.intensity cannot be 0: write a number from 1 to 1048576`},
		{"['divisi.Main']", `app.toml:1:2: unknown table ["divisi.Main"]: the section of a component has its full name, ["github.com/divisi-go/divisi/Main"]`},
		{"[divisi]\nreplicas = 0", `app.toml:2:1: divisi.replicas cannot be 0: write a number from 1 to 1000`},
		{"[divisi]\nreplicas = 1001", `app.toml:2:1: divisi.replicas cannot be 1001: write a number from 1 to 1000`},
		{"[divisi.groups.'pay.Pay']\nreplicas = -1", `app.toml:2:1: divisi.groups."pay.Pay".replicas cannot be -1: write a number from 1 to 1000`},
		{"[divisi.groups.'pay.Pay']\nstart = '-1s'", `app.toml:2:1: divisi.groups."pay.Pay".start is -1s: write a duration such as "1m30s"`},
		{"[multi]\nreplicas = 3", `app.toml:2:1: unknown key replicas in [multi]: replicas belongs into [divisi], which is for all deployers`},
		{"[divisi]\nenv = ['A=1', 'B']", `app.toml:2:15: divisi.env has "B": write "KEY=value"`},
		{"[process]\nenv = ['=x']", `app.toml:2:8: process.env has "=x": write "KEY=value"`},
		{"[divisi]\nname = 'my shop'", `app.toml:2:1: name "my shop" cannot have ' ' at byte 3: use ASCII letters and digits, and "-", "_" and "." between them`},
		{"[divisi]\nbinary = './my shop'", `app.toml:2:1: the application cannot be called like its binary: name "my shop" cannot have ' ' at byte 3: use ASCII letters and digits, and "-", "_" and "." between them; or set name`},

		// Groups and listeners.
		{"[divisi.groups.crat]\nreplicas = 2", `app.toml:1:16: group "crat" does not exist: did you mean "cart"?`},
		{"[divisi]\ncolocate = [['" + cart + "', '" + store + "']]\n[divisi.groups.'cart.Store']\nreplicas = 2", `app.toml:3:16: component "cart.Store" is in the group "cart": write the group's name`},
		{"[divisi.groups]\na.components = ['" + cart + "']\nA.components = ['" + pay + "']", `app.toml:3:1: groups "A" and "a" would have replicas of the same name: rename one`},
		{"[divisi.groups.'+']\ncomponents = ['" + cart + "']", `app.toml:1:16: group "+" has a name that replicas cannot have: use letters and digits, fewer than 100`},
		{"[single]\nlisteners.shp = { address = ':80' }", `app.toml:2:11: listener "shp" is not in the binary: did you mean "shop"?`},
		{"[single]\nlisteners.shop = { address = '8080' }", `app.toml:2:20: address "8080" has no port: write "localhost:8080", or ":8080" for all interfaces`},
		{"[process.listeners.shop]\naddress = 'localhost:'", `app.toml:2:1: address "localhost:" has no port: write "localhost:8080", or ":8080" for all interfaces`},
	} {
		app, err := Parse("app.toml", tc.text, shop)
		if err == nil {
			t.Errorf("%q: no error", tc.text)
			continue
		}
		if !reflect.DeepEqual(app, App{}) {
			t.Errorf("%q: %+v with an error", tc.text, app)
		}
		if err.Error() != tc.want {
			t.Errorf("%q:\ngot  %v\nwant %s", tc.text, err, tc.want)
		}
		var one *Error
		if !errors.As(err, &one) || one.File != "app.toml" {
			t.Errorf("%q: error %#v", tc.text, err)
		}
	}
}

func TestSeveralErrors(t *testing.T) {
	_, err := Parse("app.toml", `[process]
mtsl = true
listeners.shop.adress = ":80"
[divisi]
nam = "x"
["no/Component"]
`, shop)
	var lines []string
	for line := range strings.SplitSeq(err.Error(), "\n") {
		place, _, _ := strings.Cut(line, ": ")
		lines = append(lines, place)
	}
	if want := []string{"app.toml:2:1", "app.toml:3:16", "app.toml:5:1", "app.toml:6:2"}; !slices.Equal(lines, want) {
		t.Errorf("errors at %q, want %q", lines, want)
	}
}

func TestWithoutBinary(t *testing.T) {
	app, err := Parse("app.toml", "['any.org/x/Y#fast']\na = 1\n[single]\nlisteners.any.address = ':1'", Options{})
	if err != nil || app.Sections["any.org/x/Y#fast"] == "" {
		t.Errorf("%+v, %v", app, err)
	}
	for text, want := range map[string]string{
		"['x/']":                          `app.toml:1:2: invalid component name "x/": "" is not the name of an interface`,
		"[divisi]\ncolocate = [['Cart']]": `app.toml:2:14: invalid component name "Cart": write the import path and the interface, as in example.com/shop/cart/Cart`,
	} {
		if _, err := Parse("app.toml", text, Options{}); err == nil || err.Error() != want {
			t.Errorf("%q:\ngot  %v\nwant %s", text, err, want)
		}
	}
}
