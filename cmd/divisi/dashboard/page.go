// Package dashboard is the live page of what runs on this machine, on an address of this machine only, with
// nothing loaded from elsewhere: of an application its call graph, replicas, rates and events, and of a
// program of package system its tree, its questions, and what it can be told to do. The page knows what the
// control API says, and of ensembles what they are to be, and changes nothing in another way.
package dashboard

import (
	"context"
	"crypto/rand"
	"embed"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/divisi-go/divisi/internal/home"
)

//go:embed page.html page.css page.js parts.js application.js program.js graph.js
var files embed.FS

// policy has browsers load nothing but those files and what the page is told.
const policy = "default-src 'none'; connect-src 'self'; script-src 'self'; style-src 'self'; " +
	"img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// Page is the live page of all that runs.
type Page struct {
	home      home.Home
	first     string // the application that it shows first; "" for any
	token     string
	listener  net.Listener
	ensembles Ensembles // nil for none
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
// there. The page shows first what has a name, or anything for "".
func Listen(addresses []string, tokenFile string, h home.Home, first string) (*Page, error) {
	if len(addresses) == 0 {
		return nil, nil
	}
	if err := Check(addresses); err != nil {
		return nil, err
	}
	if err := h.Make(); err != nil {
		return nil, err
	}
	token, err := readToken(tokenFile)
	if err != nil {
		return nil, fmt.Errorf("cannot open the live page: %w", err)
	}

	var l net.Listener
	for _, address := range addresses {
		if l, err = net.Listen("tcp", address); err == nil {
			return &Page{home: h, first: first, token: token, listener: l}, nil
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

// Handler returns the page, its data, and what can be done on it.
func (p *Page) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", file("page.html"))
	for _, name := range []string{"page.css", "page.js", "parts.js", "application.js", "program.js", "graph.js"} {
		mux.HandleFunc("GET /"+name, file(name))
	}
	mux.HandleFunc("GET /data", p.data)
	mux.HandleFunc("GET /log", p.log)
	mux.HandleFunc("GET /metrics", p.metrics)
	mux.HandleFunc("POST /answer", p.answer)
	mux.HandleFunc("POST /do", p.do)
	mux.HandleFunc("POST /ensemble", p.change)
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, "ok")
	})
	return p.guarded(mux)
}

// file answers with one of the files of the page.
func file(name string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", policy)
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Referrer-Policy", "no-referrer")
		w.Header().Set("Cache-Control", "no-cache")
		http.ServeFileFS(w, r, files, name)
	}
}
