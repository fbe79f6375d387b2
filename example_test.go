package divisi_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"

	"github.com/divisi-go/divisi"
)

// An existing http.Handler as an application.
func ExampleHandler() {
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "Hello!") })
	log.Fatal(divisi.Run(context.Background(), divisi.Handler(mux)))
}

func ExampleInstrumentHandlerFunc() {
	h := divisi.InstrumentHandlerFunc("hello", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "Hello!")
	})
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, httptest.NewRequest("GET", "/", nil))
	fmt.Println(rec.Code, rec.Body)
	// Output: 200 Hello!
}
