package dashboard

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/divisi-go/divisi/cmd/divisi/telemetry"
	"github.com/divisi-go/divisi/internal/control"
	"github.com/divisi-go/divisi/internal/event"
	"github.com/divisi-go/divisi/internal/home"
)

// application is one that says what a test wants it to.
type application struct {
	status  control.Status
	metrics []control.ReplicaMetrics
	err     error
}

var _ control.Application = (*application)(nil)

func (a *application) Status() control.Status { return a.status }

func (a *application) Metrics(context.Context) ([]control.ReplicaMetrics, error) {
	return a.metrics, a.err
}

func (a *application) Profile(context.Context, string, string, time.Duration) ([]control.ReplicaProfile, error) {
	return nil, errors.New("it has no profile")
}

func (a *application) Stop() {}

func (a *application) Over() <-chan struct{} { return nil }

// newHome returns a home without applications.
func newHome(t *testing.T) home.Home {
	t.Helper()
	dir, err := os.MkdirTemp("", "page") // paths of sockets are short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	t.Setenv("XDG_RUNTIME_DIR", dir)
	h, err := home.At(filepath.Join(dir, "home"))
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// serve opens the door of an application until the test ends.
func serve(t *testing.T, h home.Home, s *control.Server) {
	t.Helper()
	s.Name = s.App.Status().App
	d := h.Domain("/" + s.Name)
	if err := d.Make(); err != nil {
		t.Fatal(err)
	}
	if s.Controller.LogDir == "" {
		s.Controller.LogDir = d.Logs
	}
	if s.Events == nil {
		s.Events = &event.Log{}
	}
	if err := s.Listen(d.Door); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
}

// pageOf returns the page of an application that runs.
func pageOf(t *testing.T, app *application) *Page {
	t.Helper()
	h := newHome(t)
	serve(t, h, &control.Server{App: app})
	return &Page{home: h, first: "shop", token: "secret"}
}

func called(value control.Number) control.Metric {
	return control.Metric{
		Name: "divisi_method_count", Value: value,
		Labels: map[string]string{
			"caller": "example.com/shop/Main", "component": "example.com/shop/cart/Cart", "method": "View",
		},
	}
}

func shop() *application {
	return &application{
		status: control.Status{App: "shop", State: "running", Groups: []control.GroupStatus{{Name: "main"}}},
		metrics: []control.ReplicaMetrics{
			{Name: "main-0@/shop", Metrics: []control.Metric{called(2)}},
			{Name: "main-1@/shop", Metrics: []control.Metric{called(3)}},
		},
	}
}

// get asks the handler under a host's name.
func get(t *testing.T, p *Page, host, path string) (*http.Response, string) {
	t.Helper()
	request := httptest.NewRequest("GET", path, nil)
	request.Host = host
	request.AddCookie(&http.Cookie{Name: cookie(request), Value: p.token})
	recorder := httptest.NewRecorder()
	p.Handler().ServeHTTP(recorder, request)
	body, err := io.ReadAll(recorder.Result().Body)
	if err != nil {
		t.Fatal(err)
	}
	return recorder.Result(), string(body)
}

func TestHost(t *testing.T) {
	p := pageOf(t, shop())
	for host, want := range map[string]int{
		"localhost": 200, "localhost:1234": 200, "127.0.0.1:1234": 200, "127.0.0.1": 200,
		"[::1]:1234":   200,
		"evil.example": 403, "evil.example:1234": 403, "localhost.evil.example": 403,
		"192.168.0.1:1234": 403, "": 403,
	} {
		for _, path := range []string{"/", "/data", "/metrics", "/healthz"} {
			if response, _ := get(t, p, host, path); response.StatusCode != want {
				t.Errorf("%s under the name %q: status %d, want %d", path, host, response.StatusCode, want)
			}
		}
	}
}

func TestPageLoadsNothingFromElsewhere(t *testing.T) {
	p := pageOf(t, shop())
	for path, kind := range map[string]string{
		"/": "text/html", "/page.css": "text/css", "/page.js": "text/javascript", "/graph.js": "text/javascript",
		"/parts.js": "text/javascript", "/application.js": "text/javascript", "/program.js": "text/javascript",
	} {
		response, body := get(t, p, "localhost", path)
		if got := response.Header.Get("Content-Type"); response.StatusCode != 200 || !strings.HasPrefix(got, kind) {
			t.Errorf("%s: status %d, type %q, want 200 and %s", path, response.StatusCode, got, kind)
		}
		policy := response.Header.Get("Content-Security-Policy")
		if !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") {
			t.Errorf("%s: Content-Security-Policy %q", path, policy)
		}
		// Namespaces are names, not addresses.
		body = strings.NewReplacer("http://www.w3.org/2000/svg", "").Replace(body)
		for _, bad := range []string{"http://", "https://", "innerHTML", "insertAdjacentHTML", " onclick=", " style=\""} {
			if strings.Contains(body, bad) {
				t.Errorf("%s has %q in it", path, bad)
			}
		}
	}
}

func TestData(t *testing.T) {
	events := &event.Log{}
	for range 3 {
		events.Add(event.Ready{Server: event.Server{Name: "<script>"}})
	}
	app, h := shop(), newHome(t)
	serve(t, h, &control.Server{App: app, Events: events})
	p := &Page{home: h, token: "secret"}
	response, body := get(t, p, "localhost", "/data")
	var data Data
	if err := json.Unmarshal([]byte(body), &data); err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	want := Calls{Caller: "main", Component: "cart.Cart", Method: "View", Count: 5}
	if data.Of != "shop" || len(data.Apps) != 1 || data.Status.App != "shop" || data.Program != nil || len(data.Events) != 3 || data.Time.IsZero() ||
		len(data.Calls) != 1 || data.Calls[0].Count != want.Count || data.Calls[0].Component != want.Component {
		t.Errorf("data = %+v, want the application, three events, and the calls %+v", data, want)
	}
	if response.Header.Get("Content-Type") != "application/json" || strings.Contains(body, "<script>") {
		t.Errorf("data that a browser could take for a page: %v", response.Header)
	}
	app.err = errors.New("it is ending")
	if _, body := get(t, p, "localhost", "/data"); !strings.Contains(body, `"calls":[]`) {
		t.Errorf("without metrics: %s", body)
	}
	if _, body := get(t, p, "localhost", "/data?of=store"); !strings.Contains(body, `"of":"store","problem":"`) {
		t.Errorf("of what does not run: %s", body)
	}
	if _, body := get(t, p, "localhost", "/data?of=../shop"); !strings.Contains(body, `nothing runs that is called`) {
		t.Errorf("of what has no name: %s", body)
	}
	if _, body := get(t, &Page{home: newHome(t)}, "localhost", "/data"); !strings.Contains(body, `"apps":[],"of":"","events":[]`) {
		t.Errorf("while nothing runs: %s", body)
	}
}

func TestCounts(t *testing.T) {
	labels := called(0).Labels
	metric := func(name string, value control.Number, labels map[string]string, counts ...uint64) control.Metric {
		return control.Metric{Name: name, Value: value, Labels: labels, Bounds: make([]control.Number, max(0, len(counts)-1)), Counts: counts}
	}
	one := []control.Metric{
		called(5), metric("divisi_method_error_count", 2, labels), metric("divisi_method_failure_count", 1, labels),
		metric("divisi_method_latency_micros", 500, labels, 3, 2), metric("divisi_method_bytes_reply", 9, labels),
		metric("divisi_http_request_count", 7, map[string]string{"code": "2"}),
		metric("divisi_http_request_count", 3, map[string]string{"code": "5"}),
		metric("divisi_http_request_latency_micros", 90, map[string]string{"code": "2"}, 6, 4),
	}
	other := []control.Metric{metric("divisi_method_latency_micros", 100, labels, 1, 0)}
	strange := []control.Metric{metric("divisi_method_latency_micros", 10, labels, 1, 0, 0)}
	all := []control.ReplicaMetrics{{Metrics: one}, {Metrics: other}, {Metrics: strange}}

	want := []Calls{{Caller: "shop.Main", Component: "cart.Cart", Method: "View", Count: 5, Errors: 2, Failures: 1,
		Times: Times{Bounds: make([]control.Number, 1), Counts: []uint64{4, 2}}}}
	if got := calls(all); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	http := Requests{Count: 10, Errors: 3, Times: Times{Bounds: make([]control.Number, 1), Counts: []uint64{6, 4}}}
	if got := requests(all); !reflect.DeepEqual(got, http) {
		t.Errorf("got %+v, want %+v", got, http)
	}
}

func TestLog(t *testing.T) {
	dir := t.TempDir()
	text := `{"divisi":1,"time":"2026-01-02T03:04:05Z","level":"info","msg":"<b>","node":"cart-0@/shop"}
{"divisi":1,"time":"2026-01-02T03:04:06Z","level":"warn","msg":"late","node":"cart-0@/shop","attrs":{"user":"7"}}
`
	if err := os.WriteFile(filepath.Join(dir, "shop-cart-0.log"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	h, app := newHome(t), shop()
	serve(t, h, &control.Server{App: app, Controller: control.Controller{LogDir: dir}})
	p := &Page{home: h, first: "shop", token: "secret"}
	for level, want := range map[string]int{"": 2, "info": 2, "warn": 1, "error": 0} {
		response, body := get(t, p, "localhost", "/log?level="+level)
		var entries []telemetry.Entry
		if err := json.Unmarshal([]byte(body), &entries); err != nil || len(entries) != want || entries == nil {
			t.Errorf("level %q: %s (%v)", level, body, err)
		}
		if response.Header.Get("Content-Type") != "application/json" || strings.Contains(body, "<b>") {
			t.Errorf("a log that a browser could take for a page: %v", response.Header)
		}
	}
	for query, want := range map[string]int{
		"replica=cart-0": 2, "replica=cart-1": 0, "text=LATE": 1, "text=7": 1, "text=nothing": 0, "component=cart.Cart": 0,
	} {
		if _, body := get(t, p, "localhost", "/log?"+query); strings.Count(body, `"msg"`) != want {
			t.Errorf("%s: %s, want %d entries", query, body, want)
		}
	}
	app.status.Started = time.Date(2026, 1, 2, 3, 4, 6, 0, time.UTC)
	if _, body := get(t, p, "localhost", "/log"); strings.Count(body, `"msg"`) != 1 || !strings.Contains(body, "late") {
		t.Errorf("since the start: %s", body)
	}
	if response, _ := get(t, p, "localhost", "/log?level=worn"); response.StatusCode != http.StatusBadRequest {
		t.Errorf("an unknown level: status %d", response.StatusCode)
	}
	if response, _ := get(t, p, "evil.example", "/log"); response.StatusCode != http.StatusForbidden {
		t.Errorf("under another name: status %d", response.StatusCode)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if response, body := get(t, p, "localhost", "/log"); response.StatusCode != http.StatusOK || strings.TrimSpace(body) != "[]" {
		t.Errorf("without a folder: status %d, %s", response.StatusCode, body)
	}
}

func TestMetricsAndHealth(t *testing.T) {
	app := shop()
	p := pageOf(t, app)
	response, body := get(t, p, "localhost", "/metrics")
	if got := response.Header.Get("Content-Type"); !strings.HasPrefix(got, "text/plain; version=0.0.4") {
		t.Errorf("/metrics has the type %q", got)
	}
	if !strings.Contains(body, `divisi_method_count{app="shop",replica="main-1@/shop",`) {
		t.Errorf("/metrics = %s", body)
	}
	app.err = errors.New("it is ending")
	if response, body := get(t, p, "localhost", "/metrics"); response.StatusCode != 503 || !strings.Contains(body, "ending") {
		t.Errorf("/metrics at the end: status %d, %s", response.StatusCode, body)
	}
	if response, body := get(t, p, "localhost", "/healthz"); response.StatusCode != 200 || body != "ok\n" {
		t.Errorf("/healthz: status %d, %q", response.StatusCode, body)
	}
}

func TestListenOnThisMachineOnly(t *testing.T) {
	token := filepath.Join(t.TempDir(), "token")
	if p, err := Listen(nil, token, newHome(t), ""); p != nil || err != nil {
		t.Errorf("without an address: %v, %v; want no page", p, err)
	}
	for _, address := range []string{"0.0.0.0:0", ":0", "example.com:0", "localhost"} {
		if _, err := Listen([]string{address}, token, newHome(t), ""); err == nil || !strings.Contains(err.Error(), "--admin") {
			t.Errorf("at %s: %v, want an error that names --admin", address, err)
		}
	}

	// An address that is taken is passed over.
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	p, err := Listen([]string{taken.Addr().String(), "localhost:0"}, token, newHome(t), "")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- p.Serve(ctx) }()

	// The address with the token opens the page, and leaves a cookie.
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	owner := &http.Client{Jar: jar}
	address, _, _ := strings.Cut(p.URL(), "?")
	for _, tt := range []struct {
		client *http.Client
		url    string
		status int
	}{
		{http.DefaultClient, address, 401}, {http.DefaultClient, address + "log", 401},
		{http.DefaultClient, address + "?token=wrong", 401}, {http.DefaultClient, address + "healthz", 200},
		{http.DefaultClient, address + "data?token=" + p.token, 200},
		{owner, address + "log", 401}, {owner, p.URL(), 200}, {owner, address + "data", 200},
	} {
		response, err := tt.client.Get(tt.url)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != tt.status || strings.Contains(response.Request.URL.String(), "/?token="+p.token) {
			t.Errorf("%s: status %d at %s, want %d", tt.url, response.StatusCode, response.Request.URL, tt.status)
		}
	}
	again, err := readToken(token)
	if info, statErr := os.Stat(token); err != nil || again != p.token || statErr != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the token is %s after %s, %v; %v", again, p.token, err, info.Mode())
	}

	cancel()
	if err := <-served; err != nil {
		t.Errorf("Serve ended with %v", err)
	}
}
