package dashboard

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/divisi-go/divisi/internal/control"
)

// site knows one ensemble, and keeps what it is to do.
type site struct{ done []string }

func (s *site) Of(domain string) (*Ensemble, error) {
	switch domain {
	case "/orderd":
		return &Ensemble{Servers: []Server{{"web@/orderd", []string{"front"}, true}}, Numbers: []Number{}}, nil
	case "/broken":
		return nil, errors.New("cannot read revision 7")
	}
	return nil, nil
}

func (s *site) Do(_ context.Context, domain, verb string, args []string) error {
	if verb == "never" {
		return &control.Error{Code: control.Invalid, Text: "an ensemble cannot never"}
	}
	s.done = append(s.done, domain+" "+verb+" "+strings.Join(args, " "))
	return nil
}

// TestEnsemble: the page shows what an ensemble is to be, and changes that for its owner, on the page itself.
func TestEnsemble(t *testing.T) {
	h := newHome(t)
	newOrderd(t, h)
	s := &site{}
	p := (&Page{home: h, token: "secret"}).With(s)
	if _, body := get(t, p, "localhost", "/data?of=orderd"); !strings.Contains(body, `"servers":[{"name":"web@/orderd","roles":["front"],"stopped":true}]`) {
		t.Errorf("what it is to be: %s", body)
	}
	for _, tt := range []struct {
		path, body string
		headers    []string
		status     int
		says       string
	}{
		{"/ensemble?of=orderd", `{"verb":"start","args":["web@/orderd"]}`, nil, 200, "null"},
		{"/ensemble?of=orderd", `{"verb":"never"}`, nil, 400, "cannot never"},
		{"/ensemble?of=shop", `{"verb":"start","args":["web@/orderd"]}`, nil, 404, "shop is no ensemble"},
		{"/ensemble?of=broken", `{"verb":"start","args":["web@/orderd"]}`, nil, 500, "cannot read revision 7"},
		{"/ensemble?of=../x", `{"verb":"start"}`, nil, 404, "nothing runs"},
		{"/ensemble?of=orderd", `{"verb":"start"}`, []string{"Sec-Fetch-Site", "cross-site"}, 403, ""},
		{"/ensemble?of=orderd", `{"verb":"start"}`, []string{"Cookie", ""}, 401, ""},
		{"/ensemble?of=orderd", `{"verb":"start"}`, []string{"Content-Type", "text/plain"}, 415, ""},
	} {
		status, said := post(t, p, tt.path, tt.body, tt.headers...)
		if status != tt.status || !strings.Contains(said, tt.says) {
			t.Errorf("%s %s %v: %d %s, want %d and %q", tt.path, tt.body, tt.headers, status, said, tt.status, tt.says)
		}
	}
	if want := []string{"/orderd start web@/orderd"}; !reflect.DeepEqual(s.done, want) {
		t.Errorf("%q was done, want %q", s.done, want)
	}
}
