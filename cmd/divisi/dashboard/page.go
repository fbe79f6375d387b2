// Package dashboard is the live page of an application: its call graph, replicas, rates and
// events, on an address of this machine only, with nothing loaded from elsewhere.
package dashboard

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/divisi-go/divisi/cmd/divisi/telemetry"
	"github.com/divisi-go/divisi/internal/control"
	"github.com/divisi-go/divisi/internal/event"
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
	token    string
	listener net.Listener
}

// Check refuses addresses that are not this machine's own loopback addresses.
func Check(addresses []string) error {
	for _, address := range addresses {
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			return fmt.Errorf("the live page cannot be at %q: give a host and a port such as localhost:9090 with --admin", address)
		}
		if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
			return fmt.Errorf("the live page cannot be at %s: it is not for other machines: "+
				"give a loopback address such as localhost:9090 with --admin", address)
		}
	}

	return nil
}

// Listen opens the page at the first of some addresses that is free; without any there is no page,
// and it returns nil. Whoever knows the token in a file sees the page; the file is made if it is not
// there. The log is the folder of a keeper.
func Listen(addresses []string, tokenFile string, app Application, events *event.Log, logDir string) (*Page, error) {
	if len(addresses) == 0 {
		return nil, nil
	}
	if err := Check(addresses); err != nil {
		return nil, err
	}
	token, err := readToken(tokenFile)
	if err != nil {
		return nil, fmt.Errorf("cannot open the live page: %w", err)
	}

	var l net.Listener
	for _, address := range addresses {
		if l, err = net.Listen("tcp", address); err == nil {
			return &Page{app: app, events: events, logDir: logDir, token: token, listener: l}, nil
		}
	}

	return nil, fmt.Errorf("cannot open the live page: %w (set another address with --admin)", err)
}

// readToken returns the token in a file, which stays the same so that bookmarks do.
func readToken(file string) (string, error) {
	text, err := os.ReadFile(file)
	if token := strings.TrimSpace(string(text)); err == nil && token != "" {
		return token, nil
	}

	token := rand.Text()
	return token, os.WriteFile(file, []byte(token+"\n"), 0o600)
}

// URL returns the address of the page, with what opens it.
func (p *Page) URL() string {
	return "http://" + p.listener.Addr().String() + "/?token=" + p.token
}

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
			"time": time.Now(), "status": p.app.Status(), "events": p.events.List(),
			"calls": calls(all), "requests": requests(all),
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
	return localOnly(p.ownerOnly(mux))
}

// cookie is what a browser shows after it has shown the token once.
const cookie = "divisi"

// ownerOnly refuses requests without the token: other users of this machine reach the page as well,
// and the log is not for them. The token is in the cookie, in a parameter, or that of an
// Authorization of the kind Bearer.
func (p *Page) ownerOnly(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		given := r.URL.Query().Get("token")
		bearer, hasBearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		kept, err := r.Cookie(cookie)
		switch {
		case r.URL.Path == "/healthz":
		case p.isToken(given) && r.URL.Path == "/":
			http.SetCookie(w, &http.Cookie{Name: cookie, Value: p.token, Path: "/",
				HttpOnly: true, SameSite: http.SameSiteStrictMode})
			w.Header().Set("Referrer-Policy", "no-referrer")
			http.Redirect(w, r, "/", http.StatusSeeOther)
			return
		case p.isToken(given), hasBearer && p.isToken(bearer), err == nil && p.isToken(kept.Value):
		default:
			http.Error(w, "open this page at the address that divisi status shows, which has a token",
				http.StatusUnauthorized)
			return
		}
		h.ServeHTTP(w, r)
	})
}

func (p *Page) isToken(s string) bool {
	return subtle.ConstantTimeCompare([]byte(s), []byte(p.token)) == 1
}

// maxEntries bounds how much of the log is shown.
const maxEntries = 100

// log answers with the latest entries of a level and those above, of a replica and of a component,
// that have a text in them.
func (p *Page) log(w http.ResponseWriter, r *http.Request) {
	f := &telemetry.Filter{
		Level: r.FormValue("level"), Replica: r.FormValue("replica"), Component: r.FormValue("component"),
		Since: p.app.Status().Started, // the log has earlier runs as well
		Text:  r.FormValue("text"),
	}
	if err := f.Compile(); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	entries, err := telemetry.Recent(p.logDir, f, maxEntries)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
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
		host = strings.Trim(host, "[]")
		if ip := net.ParseIP(host); !strings.EqualFold(host, "localhost") && (ip == nil || !ip.IsLoopback()) {
			http.Error(w, "this page is for this machine only", http.StatusForbidden)
			return
		}
		h.ServeHTTP(w, r)
	})
}
