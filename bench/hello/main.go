// Hello is the program examples/hello as one writes it without Divisi: a web page that reverses names.
package main

import (
	"fmt"
	"log"
	"net/http"
	"slices"
	"time"
)

func reverse(s string) string {
	runes := []rune(s)
	slices.Reverse(runes)
	return string(runes)
}

func main() {
	server := &http.Server{
		Addr: "localhost:9000", ReadHeaderTimeout: 10 * time.Second,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintf(w, "Hello, %s!\n", reverse(r.URL.Query().Get("name")))
		}),
	}
	log.Fatal(server.ListenAndServe())
}
