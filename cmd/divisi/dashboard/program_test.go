package dashboard

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/divisi-go/divisi/internal/control"
	"github.com/divisi-go/divisi/internal/home"
	"github.com/divisi-go/divisi/internal/operator"
)

// orderd is a program with a verb and a value, which asks for a port.
type orderd struct {
	*operator.Desk
	answered chan error // what became of the question
	limit    *operator.Tunable[int]
}

func newOrderd(t *testing.T, h home.Home) *orderd {
	t.Helper()
	o := &orderd{Desk: operator.New("orderd", "anybody", operator.NewShelf("")), answered: make(chan error, 1)}
	var refused, err error
	o.limit, _, refused, err = operator.Tune(o.Desk, "limit", "main.go:7", 10, nil)
	_, double := o.Verb("double", "main.go:8", "", func(n int) int { return 2 * n })
	_, values := o.Verb("values", control.Builtin, "what can be set", o.Values)
	_, set := o.Verb("set", control.Builtin, "sets a value", o.Set)
	if err := errors.Join(refused, err, double, values, set); err != nil {
		t.Fatal(err)
	}

	asked := make(chan struct{})
	o.Say = func(control.Question) { close(asked) }
	go func() {
		_, err := o.Ask(t.Context(), control.Question{Key: "/orderd/port", Text: "which port?", Type: "a whole number"}, func(text string) error {
			if text != "8081" {
				return errors.New("use port 8081")
			}
			return nil
		})
		o.answered <- err
	}()
	<-asked
	serve(t, h, &control.Server{Desk: o, App: &application{status: control.Status{
		App: "orderd", Domain: "/orderd", State: "starting",
		Members:  []control.Member{{Path: "/orderd", Kind: "program", State: "starting"}},
		Replicas: []control.ReplicaStatus{{Name: "web@/orderd/eu", Group: "/orderd/eu"}, {Name: "web@/orderd", Group: "/orderd"}},
	}}})
	return o
}

// post sends what the page does, with headers, and returns the status and what is said.
func post(t *testing.T, p *Page, path, body string, headers ...string) (int, string) {
	t.Helper()
	r := httptest.NewRequest("POST", path, strings.NewReader(body))
	r.Host = "localhost:7747"
	r.AddCookie(&http.Cookie{Name: cookie(r), Value: p.token})
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	recorder := httptest.NewRecorder()
	p.Handler().ServeHTTP(recorder, r)
	return recorder.Code, recorder.Body.String()
}

// TestProgram: the page shows a program beside an application, and has it answered and told.
func TestProgram(t *testing.T) {
	h := newHome(t)
	o := newOrderd(t, h)
	serve(t, h, &control.Server{App: shop()})
	p := &Page{home: h, token: "secret"}

	_, body := get(t, p, "localhost", "/data")
	var d Data
	if err := json.Unmarshal([]byte(body), &d); err != nil {
		t.Fatal(err)
	}
	if len(d.Apps) != 2 || d.Of != "orderd" || d.Apps[0].Questions != 1 || d.Apps[1].App != "shop" || d.Apps[1].Questions != 0 {
		t.Errorf("what runs: %s", body)
	}
	if d.Program == nil || len(d.Program.Questions) != 1 || len(d.Program.Verbs) != 1 || d.Program.Verbs[0].Name != "double" ||
		!strings.Contains(string(d.Program.Values), `"limit"`) || len(d.Status.Members) != 1 {
		t.Errorf("the program: %s", body)
	}

	for _, tt := range []struct {
		path, body string
		status     int
		says       string
	}{
		{"/answer?of=orderd", `{"key":"/orderd/port","kind":"value","value":"80"}`, 400, `use port 8081`},
		{"/answer?of=orderd", `{"key":"/orderd/port","kind":"maybe"}`, 400, `none of value, retry and give-up`},
		{"/answer?of=shop", `{"key":"/orderd/port","kind":"retry"}`, 404, `shop has no questions`},
		{"/answer?of=store", `{"key":"/orderd/port","kind":"retry"}`, 404, `nothing is asked`},
		{"/answer?of=orderd", `{"key":`, 400, `this is not what the page sends`},
		{"/answer?of=orderd", `{"key":"` + strings.Repeat("x", maxOrder) + `"}`, 400, `too large`},
		{"/do?of=orderd", `{"verb":"double","args":["4"]}`, 200, "8\n"},
		{"/do?of=orderd", `{"verb":"double","args":["four"]}`, 400, `not a whole number`},
		{"/do?of=orderd", `{"verb":"treble"}`, 404, `no verb`},
		{"/do?of=orderd", `{"verb":"set","args":["limit","20"]}`, 200, "null"},
		{"/answer?of=orderd", `{"key":"/orderd/port","kind":"value","value":"8081"}`, 200, `8081`},
		{"/answer?of=orderd", `{"key":"/orderd/port","kind":"value","value":"8081"}`, 404, `nothing is asked`},
	} {
		status, said := post(t, p, tt.path, tt.body)
		if status != tt.status || !strings.Contains(said, tt.says) {
			t.Errorf("%s %.80s: %d %s, want %d and %q", tt.path, tt.body, status, said, tt.status, tt.says)
		}
	}
	if err := <-o.answered; err != nil || o.limit.Get() != 20 {
		t.Errorf("%v, and the limit is %d", err, o.limit.Get())
	}
	if _, body := get(t, p, "localhost", "/data?of=orderd"); !strings.Contains(body, `"questions":[]`) {
		t.Errorf("after the answer: %s", body)
	}
}

// TestOtherSites: nothing is changed for another site that the owner's browser shows, also for one at another
// port of this machine, to which the browser sends the same cookies.
func TestOtherSites(t *testing.T) {
	h := newHome(t)
	o := newOrderd(t, h)
	p := &Page{home: h, token: "secret"}
	const path, order = "/do?of=orderd", `{"verb":"set","args":["limit","20"]}`
	for _, tt := range []struct {
		headers []string
		status  int
	}{
		{[]string{"Sec-Fetch-Site", "cross-site", "Origin", "http://evil.example"}, 403},
		{[]string{"Sec-Fetch-Site", "same-site", "Origin", "http://localhost:8000"}, 403},
		{[]string{"Origin", "http://localhost:8000"}, 403},
		{[]string{"Origin", "null"}, 403},
		{[]string{"Content-Type", "application/x-www-form-urlencoded"}, 415},
		{[]string{"Content-Type", "text/plain"}, 415},
		{[]string{"Cookie", ""}, 401},
		{[]string{"Cookie", "divisi-8000=secret"}, 401},
	} {
		if status, said := post(t, p, path, order, tt.headers...); status != tt.status {
			t.Errorf("%q: %d %s, want %d", tt.headers, status, said, tt.status)
		}
	}
	if o.limit.Get() != 10 {
		t.Errorf("the limit is %d", o.limit.Get())
	}
	for _, headers := range [][]string{
		{"Sec-Fetch-Site", "same-origin", "Origin", "http://localhost:7747"}, {"Origin", "http://localhost:7747"},
		{"Cookie", "", "Authorization", "Bearer secret"},
	} {
		if status, said := post(t, p, path, order, headers...); status != 200 {
			t.Errorf("%q: %d %s", headers, status, said)
		}
	}
	for _, path := range []string{"/answer", "/do"} {
		if response, _ := get(t, p, "localhost", path); response.StatusCode != http.StatusMethodNotAllowed {
			t.Errorf("GET %s: %d", path, response.StatusCode)
		}
	}
}

// TestLogOfProgram: the servers of each nursery have logs of their own, from before the program began.
func TestLogOfProgram(t *testing.T) {
	h := newHome(t)
	newOrderd(t, h)
	for domain, text := range map[string]string{"/orderd": "outside", "/orderd/eu": "within"} {
		dir := h.Domain(domain).Logs
		line := fmt.Sprintf(`{"divisi":1,"time":"2026-01-02T03:04:05Z","level":"stdout","msg":%q,"node":"web@%s"}`+"\n", text, domain)
		if err := errors.Join(os.MkdirAll(dir, 0o700), os.WriteFile(filepath.Join(dir, "web.log"), []byte(line), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	p := &Page{home: h, token: "secret", first: "orderd"}
	for query, want := range map[string]string{
		"": "outside within", "replica=web@/orderd": "outside", "replica=web@/orderd/eu": "within", "replica=other@/orderd": "",
		"level=warn": "", "text=WITH": "within",
	} {
		_, body := get(t, p, "localhost", "/log?"+query)
		var found []string
		for _, text := range []string{"outside", "within"} {
			if strings.Contains(body, text) {
				found = append(found, text)
			}
		}
		if got := strings.Join(found, " "); got != want {
			t.Errorf("%q: %s, want %q", query, body, want)
		}
	}
}
