package site

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/divisi-go/divisi/httpd"
	"github.com/divisi-go/divisi/metrics"
	"github.com/divisi-go/divisi/servlet"
)

// page returns what operators ask. The first site has the connections of all.
func (l *live) page(first *httpd.Site, since time.Time) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		_ = metrics.WritePrometheus(w, metrics.Snapshot())
	})
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		g := l.enter()
		defer l.leave(g)
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		rows := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		l.rows(rows, g, first.Status().Connections, since)
		if g.content.servlets != nil {
			servletRows(rows, g.content.servlets)
		}
		_ = rows.Flush() // the client may have gone
	})
	return mux
}

// rows writes what is known of the server.
func (l *live) rows(w io.Writer, g *generation, connections int, since time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := g.site.Status()
	fmt.Fprintf(w, "name\t%s\n", cmp.Or(g.Name, "httpd"))
	fmt.Fprintf(w, "root\t%s\n", g.Root)
	fmt.Fprintf(w, "since\t%s\n", since.Format(time.RFC3339))
	if l.file != "" {
		fmt.Fprintf(w, "configuration\t%s\n", l.file)
	}
	if l.refused != nil {
		fmt.Fprintf(w, "\tit is refused as it is now: %q\n", l.refused)
	}
	if len(l.restart) > 0 {
		fmt.Fprintf(w, "\ta restart is wanted by %s\n", strings.Join(l.restart, ", "))
	}
	for _, path := range slices.Sorted(maps.Keys(g.Handler)) {
		fmt.Fprintf(w, "handler\t%s=%s\n", path, g.Handler[path])
	}
	fmt.Fprintf(w, "requests\t%d, %d of them now\n", l.requests+now.Requests, now.Busy)
	fmt.Fprintf(w, "connections\t%d of %d\n", connections, g.ConnectionsMax)
	fmt.Fprintf(w, "in memory\t%d files, %d bytes\n", now.Kept, now.KeptBytes)
	fmt.Fprintf(w, "log\t%d lines lost\n", l.lost+now.LogLost)
}

// servletRows writes how the servlets are.
func servletRows(w io.Writer, servlets *servlet.Servlets) {
	running, most := servlets.Running()
	fmt.Fprintf(w, "instances\t%d of %d\n", running, most)
	for _, s := range servlets.Status() {
		loaded := "not loaded"
		if !s.Loaded.IsZero() {
			loaded = "loaded " + s.Loaded.Format(time.RFC3339)
		}
		fmt.Fprintf(w, "servlet\t%s, %s, %d requests, %d failed\n", s.Name, loaded, s.Requests, s.Failed)
		if s.Err != nil {
			fmt.Fprintf(w, "\tthe file as it is now cannot be loaded: %q\n", s.Err)
		}
	}
}
