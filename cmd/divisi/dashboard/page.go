// Package dashboard is the live page of an application: its call graph, replicas, rates and
// events, on an address of this machine only, with nothing loaded from elsewhere.
package dashboard

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/divisi-go/divisi/cmd/divisi/telemetry"
	"github.com/divisi-go/divisi/internal/control"
	"github.com/divisi-go/divisi/internal/event"
	"github.com/divisi-go/divisi/internal/name"
)

// Application is what the page shows. A deployer is one.
type Application interface {
	Status() control.Status
	Metrics(ctx context.Context) ([]control.ReplicaMetrics, error)
}

//go:embed page.html page.css page.js graph.js
var files embed.FS

// policy has browsers load nothing but those files and what the application says.
const policy = "default-src 'none'; connect-src 'self'; script-src 'self'; style-src 'self'; " +
	"img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// Page is the live page of one application.
type Page struct {
	app      Application
	events   *event.Log
	logDir   string
	listener net.Listener
}

// Listen opens the address of the page, which must be one of this machine's own loopback
// addresses; "" means no page, and returns nil. The log is the folder of a keeper.
func Listen(address string, app Application, events *event.Log, logDir string) (*Page, error) {
	if address == "" {
		return nil, nil
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("cannot open the live page: %w (set another address with --admin)", err)
	}
	if tcp, ok := l.Addr().(*net.TCPAddr); !ok || !tcp.IP.IsLoopback() {
		l.Close()
		return nil, fmt.Errorf("cannot open the live page at %s: it has no protection against other "+
			"machines: give a loopback address such as localhost:9090 with --admin", address)
	}
	return &Page{app: app, events: events, logDir: logDir, listener: l}, nil
}

// URL returns the address of the page.
func (p *Page) URL() string { return "http://" + p.listener.Addr().String() }

// Serve serves the page until ctx ends.
func (p *Page) Serve(ctx context.Context) error {
	server := &http.Server{Handler: p.Handler(), ReadHeaderTimeout: 10 * time.Second}
	stop := context.AfterFunc(ctx, func() { server.Close() })
	defer stop()
	if err := server.Serve(p.listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Handler returns the page and its data.
func (p *Page) Handler() http.Handler {
	mux := http.NewServeMux()
	for path, name := range map[string]string{
		"GET /{$}": "page.html", "GET /page.css": "page.css", "GET /page.js": "page.js", "GET /graph.js": "graph.js",
	} {
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Security-Policy", policy)
			w.Header().Set("X-Content-Type-Options", "nosniff")
			w.Header().Set("Referrer-Policy", "no-referrer")
			w.Header().Set("Cache-Control", "no-cache")
			http.ServeFileFS(w, r, files, name)
		})
	}
	mux.HandleFunc("GET /data", func(w http.ResponseWriter, r *http.Request) {
		all, err := p.app.Metrics(r.Context())
		if err != nil {
			all = nil // the application is ending: the rest still shows
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		_ = json.NewEncoder(w).Encode(map[string]any{
			"time": time.Now(), "status": p.app.Status(), "events": p.events.List(), "calls": calls(all),
		})
	})
	mux.HandleFunc("GET /log", p.log)
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, r *http.Request) {
		all, err := p.app.Metrics(r.Context())
		if err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		_ = telemetry.WritePrometheus(w, p.app.Status().App, all)
	})
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, "ok")
	})
	return localOnly(mux)
}

// maxEntries bounds how much of the log is shown.
const maxEntries = 100

// log answers with the latest entries of a level and those above.
func (p *Page) log(w http.ResponseWriter, r *http.Request) {
	f := &telemetry.Filter{Level: r.FormValue("level")}
	if err := f.Compile(); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	entries, err := telemetry.Recent(p.logDir, f, maxEntries)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	begin := p.app.Status().Started // the log has earlier runs as well
	entries = slices.DeleteFunc(entries, func(e telemetry.Entry) bool { return e.Time.Before(begin) })
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	_ = json.NewEncoder(w).Encode(entries)
}

// localOnly refuses requests under a name that is not this machine's own: a page elsewhere could
// have its name resolve to this address.
func localOnly(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, err := net.SplitHostPort(r.Host)
		if err != nil {
			host = r.Host
		}
		if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
			http.Error(w, "this page is for this machine only", http.StatusForbidden)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// Calls are the calls of one method by one component, over all replicas. Components have their
// short names, as in the status.
type Calls struct {
	Caller    string  `json:"caller"`
	Component string  `json:"component"`
	Method    string  `json:"method"`
	Count     float64 `json:"count"`
	Errors    float64 `json:"errors"`
	Micros    float64 `json:"micros"` // summed
}

func calls(replicas []control.ReplicaMetrics) []Calls {
	found := map[[3]string]*Calls{}
	list := []Calls{}
	for _, r := range replicas {
		for _, m := range r.Metrics {
			key := [3]string{m.Labels["caller"], m.Labels["component"], m.Labels["method"]}
			c := found[key]
			if c == nil {
				c = &Calls{Caller: name.Short(key[0]), Component: name.Short(key[1]), Method: key[2]}
			}
			switch m.Name {
			case "divisi_method_count":
				c.Count += float64(m.Value)
			case "divisi_method_error_count":
				c.Errors += float64(m.Value)
			case "divisi_method_latency_micros":
				c.Micros += float64(m.Value)
			default:
				continue
			}
			found[key] = c
		}
	}
	for _, c := range found {
		list = append(list, *c)
	}
	return list
}
