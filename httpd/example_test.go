package httpd_test

import (
	"context"
	"fmt"
	"log"
	"net/http"

	"github.com/divisi-go/divisi/httpd"
	"github.com/divisi-go/divisi/serve"
)

// A program serves a folder, and answers below a path itself.
func Example() {
	files, err := httpd.Open("www")
	if err != nil {
		log.Fatal(err)
	}
	hello := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "Hello!") })
	site := &httpd.Site{Files: files, Handlers: map[string]http.Handler{"/hello": hello}}

	l, err := serve.Listener("httpd", "localhost:8080")
	if err != nil {
		log.Fatal(err)
	}
	err = serve.Run(context.Background(), serve.Server(l, site.Server()))
	if err != nil {
		log.Fatal(err)
	}
}
