package telemetry

import (
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestMatch(t *testing.T) {
	entry := Entry{
		Level: "warn", Msg: "no stock", Component: "example.com/shop/cart/Cart", Replica: "cart-1@/shop",
		Version: "ABCD", File: "cart.go", Line: 12, Attrs: map[string]string{"user": "7"},
	}
	bare := Entry{Level: "stdout", Msg: "hello", Replica: "main-0@/shop"}
	for _, tt := range []struct {
		name   string
		filter Filter
		entry  Entry
		want   bool
	}{
		{"nothing asked", Filter{}, bare, true},
		{"component by full name", Filter{Component: "example.com/shop/cart/Cart"}, entry, true},
		{"component by short name", Filter{Component: "cart.Cart"}, entry, true},
		{"component by interface", Filter{Component: "cart"}, entry, true},
		{"another component", Filter{Component: "shop.Cart"}, entry, false},
		{"no component", Filter{Component: "cart"}, bare, false},
		{"short name in the log", Filter{Component: "example.com/shop/cart/Cart"}, Entry{Component: "cart.Cart"}, true},
		{"group of replicas", Filter{Replica: "cart"}, entry, true},
		{"another replica", Filter{Replica: "cart-0"}, entry, false},
		{"replica", Filter{Replica: "cart-1"}, entry, true},
		{"replica by its full name", Filter{Replica: "cart-1@/shop"}, entry, true},
		{"version", Filter{Version: "AB"}, entry, true},
		{"another version", Filter{Version: "AC"}, entry, false},
		{"level below", Filter{Level: "info"}, entry, true},
		{"level above", Filter{Level: "error"}, entry, false},
		{"printed lines are info", Filter{Level: "info"}, bare, true},
		{"printed lines are no warnings", Filter{Level: "warn"}, bare, false},
		{"level between", Filter{Level: "warn"}, Entry{Level: "warn+2"}, true},
		{"level between, below error", Filter{Level: "error"}, Entry{Level: "warn+2"}, false},
		{"level just below", Filter{Level: "warn"}, Entry{Level: "warn-1"}, false},
		{"attribute", Filter{Attrs: map[string]string{"user": "7"}}, entry, true},
		{"two attributes", Filter{Attrs: map[string]string{"user": "7", "item": "1"}}, entry, false},
		{"attribute of none", Filter{Attrs: map[string]string{"user": "7"}}, bare, false},
		{"expression", Filter{Expr: `level >= "warn" && attrs.user == "7"`}, entry, true},
		{"expression, not so bad", Filter{Expr: `level >= "warn"`}, bare, false},
		{"expression, letters would say otherwise", Filter{Expr: `level >= "warn"`}, Entry{Level: "error"}, true},
		{"expression, the other way round", Filter{Expr: `"info" < level`}, entry, true},
		{"expression, equal", Filter{Expr: `level == "warn"`}, entry, true},
		{"expression, one of", Filter{Expr: `level in ["warn", "error"]`}, entry, true},
		{"expression, missing attribute", Filter{Expr: `attrs.user == "7"`}, bare, false},
		{"expression, line", Filter{Expr: `line > 10 && file endsWith ".go"`}, entry, true},
		{"expression, pattern", Filter{Expr: `msg matches "^no "`}, entry, true},
		{"expression that fails", Filter{Expr: `int(attrs.user) > 5`}, bare, false},
		{"all together", Filter{Component: "Cart", Level: "warn", Expr: "line == 13"}, entry, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := tt.filter.Compile(); err != nil {
				t.Fatal(err)
			}
			if got := tt.filter.Match(tt.entry); got != tt.want {
				t.Errorf("got %v for %+v", got, tt.entry)
			}
		})
	}
}

func TestCompileRefuses(t *testing.T) {
	for _, tt := range []struct {
		filter Filter
		want   string
	}{
		{Filter{Level: "worn"}, `unknown level "worn": did you mean "warn"?`},
		{Filter{Expr: "line + 1"}, "is not a condition over attrs, component"},
		{Filter{Expr: "user == 7"}, "unknown name user"},
		{Filter{Expr: `level > "wran"`}, `did you mean "warn"?`},
		{Filter{Expr: `level > 3`}, "is not a condition"},
	} {
		err := tt.filter.Compile()
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: got %v, want %q", tt.filter, err, tt.want)
		}
	}
}

func TestParseQuery(t *testing.T) {
	since := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for text, want := range map[string]Query{
		"":                   {Tail: -1},
		"tail=0&follow=true": {Tail: 0, Follow: true},
		"since=2026-01-02T03:04:05Z&until=2026-01-02T03:04:05Z": {Tail: -1, Filter: Filter{Since: since, Until: since}},
		"tail=5&component=cart.Cart&replica=a&version=v&level=warn&kind=log&text=x&attr=a%3Db%3Dc&attr=d%3D": {Tail: 5,
			Filter: Filter{Component: "cart.Cart", Replica: "a", Version: "v", Level: "warn", Kind: KindLog, Text: "x",
				Attrs: map[string]string{"a": "b=c", "d": ""}}},
	} {
		v, err := url.ParseQuery(text)
		if err != nil {
			t.Fatal(err)
		}
		got, err := ParseQuery(v)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if want.Attrs == nil {
			want.Attrs = map[string]string{}
		}
		if !reflect.DeepEqual(*got, want) {
			t.Errorf("%s: got %+v, want %+v", text, *got, want)
		}
	}
}

func TestParseQueryRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"levle=warn":  `unknown parameter "levle"`,
		"level=worn":  `unknown level "worn"`,
		"tail=many":   `tail "many" is no number`,
		"follow=so":   `follow "so" is neither`,
		"attr=user":   `"user" is not of the form key=value`,
		"attr=%3D7":   `"=7" is not of the form key=value`,
		"since=today": `since "today" is not a time`,
		"expr=true":   `unknown parameter "expr"`,
	} {
		v, err := url.ParseQuery(text)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ParseQuery(v); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", text, err, want)
		}
	}
}

func FuzzQuery(f *testing.F) {
	f.Add("component=cart.Cart&level=warn&attr=user%3D7&tail=3&follow=true")
	f.Add(`expr=level+%3E%3D+"warn"`)
	f.Add("attr=a&attr=b&tail=-1")
	f.Fuzz(func(t *testing.T, text string) {
		v, err := url.ParseQuery(text)
		if err != nil {
			return
		}
		q, err := ParseQuery(v)
		if err != nil {
			return
		}
		q.Match(Entry{Level: "info", Attrs: map[string]string{"a": "b"}})
		if q.Expr != "" {
			t.Errorf("%q has an expression", text)
		}
	})
}
