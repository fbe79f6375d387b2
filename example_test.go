package divisi_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/divisi-go/divisi"
)

// An existing http.Handler as an application.
func ExampleHandler() {
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "Hello!") })

	// Most programs have context.Background() here, and end by a signal.
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	fmt.Println(divisi.Run(ctx, divisi.Handler(mux)))
	// Output: <nil>
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
