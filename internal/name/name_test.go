package name

import (
	"strings"
	"testing"
)

func TestComponent(t *testing.T) {
	for _, tc := range []struct{ full, iface, impl, short string }{
		{"example.com/shop/cart/Cart", "example.com/shop/cart/Cart", "", "cart.Cart"},
		{"example.com/shop/cart/Cart#fast", "example.com/shop/cart/Cart", "fast", "cart.Cart#fast"},
		{"hello/Reverser", "hello/Reverser", "", "hello.Reverser"},
		{"example.com/shop/v2/Cart", "example.com/shop/v2/Cart", "", "shop.Cart"},
		{"shop/v2/Cart", "shop/v2/Cart", "", "v2.Cart"},
		{"example.com/vat/Überweisung", "example.com/vat/Überweisung", "", "vat.Überweisung"},
		{string(Main), string(Main), "", "main"},
	} {
		c, err := ParseComponent(tc.full)
		if err != nil {
			t.Errorf("ParseComponent(%q): %v", tc.full, err)
		}
		if string(c.Interface()) != tc.iface || c.Impl() != tc.impl || Short(tc.full) != tc.short {
			t.Errorf("%q = %q, %q, %q; want %q, %q, %q", tc.full,
				c.Interface(), c.Impl(), Short(tc.full), tc.iface, tc.impl, tc.short)
		}
	}
	for _, bad := range []string{
		"", "Cart", "/Cart", "a//Cart", "a/", "a b/Cart", "a/Ca rt", "a/Cart#", "a/Cart#x#y",
		"a/1Cart", "a\n/Cart", `a"/Cart`, "a/Cart#-", "\xff/Cart",
	} {
		if c, err := ParseComponent(bad); err == nil {
			t.Errorf("ParseComponent(%q) = %q, want an error", bad, c)
		}
	}
}

func TestShortNeverFails(t *testing.T) {
	for _, s := range []string{"", "x", "#", "/", "//", "/#", "a/#b"} {
		if got := Short(s); s == "x" && got != "x" {
			t.Errorf("Short(%q) = %q", s, got)
		}
	}
}

func TestServer(t *testing.T) {
	for _, s := range []string{"httpd-0@/shop/eu/www", "a@/", "A_b.c-9@/x"} {
		server, err := ParseServer(s)
		if err != nil {
			t.Errorf("ParseServer(%q): %v", s, err)
		}
		if server.String() != s {
			t.Errorf("ParseServer(%q).String() = %q", s, server)
		}
	}
	for bad, why := range map[string]string{
		"httpd":                         "NAME@/DOMAIN",
		"@/x":                           "empty",
		"a@":                            "does not begin",
		"a@x":                           "write /x",
		"a@/x/":                         "empty",
		"a@//x":                         "empty",
		"-a@/x":                         "'-' at byte 1",
		"a.@/x":                         "'.' at byte 2",
		"a@/x@y":                        "'@'",
		"ä@/x":                          "byte 1",
		strings.Repeat("a", 101) + "@/": "101 bytes",
	} {
		if s, err := ParseServer(bad); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("ParseServer(%q) = %v, %v; want an error with %q", bad, s, err, why)
		}
	}
}

func TestReplica(t *testing.T) {
	for group, want := range map[string]string{
		"cart":                       "cart-1@/shop",
		"cart.Cart":                  "cart.Cart-1@/shop",
		"cart.Store":                 "cart.Store-1@/shop",
		"cart.Cart#fast":             "cart.Cart-fast-1@/shop",
		"example.com/shop/cart/Cart": "example.com-shop-cart-Cart-1@/shop",
	} {
		got := Replica("shop", group, 1)
		if got.String() != want {
			t.Errorf("Replica(shop, %q, 1) = %q, want %q", group, got, want)
		}
		if _, err := ParseServer(got.String()); err != nil {
			t.Error(err)
		}
	}
}

func TestDomain(t *testing.T) {
	for app, want := range map[string]string{"shop": "/shop", "my app": "/my-app", "": "/app", "...": "/app"} {
		got := Domain(app)
		if err := CheckDomain(got); err != nil || got != want {
			t.Errorf("Domain(%q) = %q, %v; want %q", app, got, err, want)
		}
	}
}

func TestIsChosen(t *testing.T) {
	for selector, want := range map[string]string{
		"":              "cart-1@/shop cart-10@/shop cart-1@/shop-2 cart-1@/shop/eu",
		"cart":          "cart-1@/shop cart-10@/shop cart-1@/shop-2 cart-1@/shop/eu",
		"cart-":         "cart-1@/shop cart-10@/shop cart-1@/shop-2 cart-1@/shop/eu",
		"cart-1":        "cart-1@/shop cart-1@/shop-2 cart-1@/shop/eu",
		"cart-10":       "cart-10@/shop",
		"cart-1@/shop":  "cart-1@/shop cart-1@/shop-2",
		"cart-1@/shop-": "cart-1@/shop-2",
		"cart-2":        "",
		"@/shop":        "",
	} {
		var got []string
		for _, server := range []string{"cart-1@/shop", "cart-10@/shop", "cart-1@/shop-2", "cart-1@/shop/eu"} {
			if IsChosen(server, selector) {
				got = append(got, server)
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%q picks %q, want %q", selector, got, want)
		}
	}
}

func TestGroup(t *testing.T) {
	for component, want := range map[Component]string{
		Main:                                "main",
		"example.com/shop/cart/Cart":        "cart",
		"example.com/shop/cart/v2/Cart":     "cart",
		"example.com/shop/cart/CartStore":   "cartstore",
		"example.com/shop/cart/Cart#fast":   "cart-fast",
		"example.com/shop/cart/Cart#v1.2":   "cart-v1.2",
		"example.com/shop/cart/Cart#Fast-A": "cart-fast-a",
		"example.com/shop/käse/Ä":           "example.com-shop-k--se",
	} {
		got := Group(component)
		if got != want {
			t.Errorf("Group(%q) = %q, want %q", component, got, want)
		}
		if err := CheckLabel(got); err != nil {
			t.Error(err)
		}
	}
}

func TestNearest(t *testing.T) {
	keys := []string{"name", "binary", "args", "env", "colocate", "rollout", "restart"}
	components := []string{
		"example.com/shop/cart/Cart", "example.com/shop/cart/Store", "example.com/shop/pay/Pay",
	}
	for _, tc := range []struct {
		s     string
		known []string
		want  string
	}{
		{"nmae", keys, "name"},
		{"Name", keys, "name"},
		{"colocated", keys, "colocate"},
		{"arg", keys, "args"},
		{"rolout", keys, "rollout"},
		{"frobnicate", keys, ""},
		{"x", keys, ""},
		{"tcsh", []string{"bash", "fish", "powershell", "zsh"}, ""}, // half of its letters are others
		{"zhs", []string{"bash", "fish", "powershell", "zsh"}, "zsh"},
		{"", keys, ""},
		{"example.com/shop/cart/Crat", components, "example.com/shop/cart/Cart"},
		{"cart/Cart", components, "example.com/shop/cart/Cart"},
		{"cart.Cart", components, "example.com/shop/cart/Cart"},
		{"cart.Crat", components, "example.com/shop/cart/Cart"},
		{"Store", components, "example.com/shop/cart/Store"},
		{"pya", components, "example.com/shop/pay/Pay"},
		{"other.org/x/Thing", components, ""},
		{"anything", nil, ""},
	} {
		got, ok := Nearest(tc.s, tc.known)
		if got != tc.want || ok != (tc.want != "") {
			t.Errorf("Nearest(%q) = %q, %v; want %q", tc.s, got, ok, tc.want)
		}
	}
}

func TestSuggest(t *testing.T) {
	many := strings.Split("aaaaaaa bbbbbbb ccccccc ddddddd eeeeeee fffffff ggggggg hhhhhhh iiiiiii "+
		"jjjjjjj kkkkkkk lllllll mmmmmmm nnnnnnn", " ")
	for _, tc := range []struct {
		s     string
		known []string
		want  string
	}{
		{"nmae", []string{"name", "env"}, `did you mean "name"?`},
		{"zzzz", []string{"name", "env", "env"}, "known are env, name"},
		{"zzzz", []string{"name"}, "the only known one is name"},
		{"zzzz", nil, "none are known"},
		{"zzzz", many, "known are " + strings.Join(many[:12], ", ") + " and 2 more"},
	} {
		if got := Suggest(tc.s, tc.known); got != tc.want {
			t.Errorf("Suggest(%q) = %q, want %q", tc.s, got, tc.want)
		}
	}
}

// slowDistance is the definition written down, to check the table against.
func slowDistance(a, b string) int {
	if a == "" || b == "" {
		return len(a) + len(b)
	}
	d := min(slowDistance(a[1:], b)+1, slowDistance(a, b[1:])+1)
	if a[0] == b[0] {
		d = min(d, slowDistance(a[1:], b[1:]))
	} else {
		d = min(d, slowDistance(a[1:], b[1:])+1)
	}
	if len(a) > 1 && len(b) > 1 && a[0] == b[1] && a[1] == b[0] {
		d = min(d, slowDistance(a[2:], b[2:])+1)
	}
	return d
}

func FuzzDistance(f *testing.F) {
	f.Add("nmae", "name")
	f.Add("", "abc")
	f.Add("abab", "baba")
	f.Fuzz(func(t *testing.T, a, b string) {
		a, b = a[:min(len(a), 7)], b[:min(len(b), 7)]
		if got, want := distance(a, b, 100), slowDistance(a, b); got != want {
			t.Errorf("distance(%q, %q) = %d, want %d", a, b, got, want)
		}
		if got, want := distance(a, b, 3), min(3, slowDistance(a, b)); got != want {
			t.Errorf("distance(%q, %q, 3) = %d, want %d", a, b, got, want)
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add("example.com/shop/cart/Cart#fast")
	f.Add("httpd-0@/shop/eu/www")
	f.Fuzz(func(t *testing.T, s string) {
		if c, err := ParseComponent(s); err == nil {
			whole := string(c.Interface())
			if c.Impl() != "" {
				whole += "#" + c.Impl()
			}
			if whole != s {
				t.Errorf("component %q falls apart into %q", s, whole)
			}
		}
		if server, err := ParseServer(s); err == nil && server.String() != s {
			t.Errorf("server %q is written %q", s, server)
		}
		if label := Label(s); label != "" && len(label) <= maxLabel {
			if err := CheckLabel(label); err != nil {
				t.Error(err)
			}
		}
	})
}
