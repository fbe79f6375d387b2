package halt

import (
	"fmt"
	"slices"
	"testing"

	"github.com/divisi-go/divisi/cmd/divisi/estate"
	"github.com/divisi-go/divisi/internal/control"
	"github.com/divisi-go/divisi/internal/keeper"
)

func TestToStop(t *testing.T) {
	application := func(name string) target {
		return target{app: &estate.Application{Status: control.Status{App: name, Domain: "/" + name}}}
	}
	program := func(name, domain string) target {
		return target{server: &keeper.Proc{ID: keeper.ID{Name: name, Domain: domain, Run: 7}}}
	}
	shop, store, web := application("shop"), application("store"), program("web", "/local")
	for _, tt := range []struct {
		asked   []string
		targets []target
		want    string
	}{
		{[]string{"shop"}, []target{shop, application("shop-2")}, "[shop]"},
		{[]string{"web", "shop", "web@/local"}, []target{shop, web}, "[web@/local shop]"},
		{[]string{"/shop"}, []target{shop, program("shop", "/local")}, "[shop]"},
		{[]string{"shop"}, []target{shop, program("shop", "/local")},
			"shop is the name of several: give one of /shop (an application), shop@/local"},
		{[]string{"web"}, []target{web, program("web", "/eu")}, "web is the name of several: give one of web@/local, web@/eu"},
		{[]string{"sh"}, []target{shop, store}, `no application or server "sh" runs: known are shop, store`},
		{[]string{"shop", "stroe"}, []target{shop, store}, `no application or server "stroe" runs: did you mean "store"?`},
		{[]string{"/eu", "web@/eu/de"}, []target{web, program("web", "/eu/de"), program("db", "/eu"), program("db", "/eu-2")}, "[web@/eu/de db@/eu]"},
		{[]string{"/"}, []target{web}, "/ is everything: say stop --all --yes"},
		{[]string{""}, []target{web}, `cannot select by "": it is empty: give a server such as web@/shop, a domain such as @/shop/..., a role such as role:web, or a label such as label:tier=front`},
		{[]string{"shop"}, nil, "nothing runs"},
	} {
		found, err := toStop(tt.targets, nil, tt.asked)
		got := fmt.Sprint(found)
		if err != nil {
			got = err.Error()
		}
		if got != tt.want {
			t.Errorf("%q of %v: %s, want %s", tt.asked, tt.targets, got, tt.want)
		}
	}
}

func TestDomainsOf(t *testing.T) {
	program := func(domain string) target {
		return target{server: &keeper.Proc{ID: keeper.ID{Name: "web", Domain: domain}}}
	}
	shop := target{app: &estate.Application{Status: control.Status{App: "shop", Domain: "/shop"}}}
	got := domainsOf([]target{program("/local"), shop, program("/eu/de/by"), program("/eu"), program("/"), program(""), program("/local")})
	if want := []string{"/eu", "/eu/de", "/eu/de/by", "/local", "/shop"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestInOrder(t *testing.T) {
	program := func(name, domain string, born uint64) target {
		return target{server: &keeper.Proc{ID: keeper.ID{Name: name, Domain: domain}, Born: born}}
	}
	shop := target{app: &estate.Application{Status: control.Status{App: "shop", Domain: "/shop"}}}
	got := inOrder([]target{program("a", "/eu", 1), shop, program("b", "/eu/de", 3), program("c", "/us", 2), program("d", "/eu", 4)})
	if text := fmt.Sprint(got); text != "[[d@/eu b@/eu/de a@/eu] [shop] [c@/us]]" {
		t.Error(text)
	}
}
