package site

import (
	"cmp"
	"fmt"
	"io"
	"net/http"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/divisi-go/divisi/httpd"
	"github.com/divisi-go/divisi/metrics"
	"github.com/divisi-go/divisi/servlet"
)

// page returns what operators ask.
func (o options) page(site *httpd.Site, servlets *servlet.Servlets, since time.Time) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		_ = metrics.WritePrometheus(w, metrics.Snapshot())
	})
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		rows := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		o.rows(rows, site.Status(), since)
		if servlets != nil {
			servletRows(rows, servlets)
		}
		_ = rows.Flush() // the client may have gone
	})
	return mux
}

// rows writes what is known of the server.
func (o options) rows(w io.Writer, now httpd.Status, since time.Time) {
	fmt.Fprintf(w, "name\t%s\n", cmp.Or(o.name, "httpd"))
	fmt.Fprintf(w, "root\t%s\n", o.root)
	fmt.Fprintf(w, "since\t%s\n", since.Format(time.RFC3339))
	for _, text := range slices.Sorted(slices.Values(o.handlers)) {
		fmt.Fprintf(w, "handler\t%s\n", text)
	}
	fmt.Fprintf(w, "requests\t%d, %d of them now\n", now.Requests, now.Busy)
	fmt.Fprintf(w, "connections\t%d of %d\n", now.Connections, o.connections)
	fmt.Fprintf(w, "in memory\t%d files, %d bytes\n", now.Kept, now.KeptBytes)
	fmt.Fprintf(w, "log\t%d lines lost\n", now.LogLost)
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
