// Hello is the smallest application: a web page, and a component that reverses names.
package main

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"slices"
	"time"

	"github.com/divisi-go/divisi"
)

// Reverser reverses strings.
type Reverser interface {
	Reverse(ctx context.Context, s string) (string, error)
}

type reverser struct {
	divisi.Implements[Reverser]
}

func (*reverser) Reverse(_ context.Context, s string) (string, error) {
	runes := []rune(s)
	slices.Reverse(runes)
	return string(runes), nil
}

type app struct {
	divisi.Implements[divisi.Main]
	reverser divisi.Ref[Reverser]
	hello    divisi.Listener
}

func (a *app) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name, err := a.reverser.Get().Reverse(r.Context(), r.URL.Query().Get("name"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	fmt.Fprintf(w, "Hello, %s!\n", name)
}

func serve(ctx context.Context, a *app) error {
	server := &http.Server{Handler: a, ReadHeaderTimeout: 10 * time.Second}
	return server.Serve(a.hello)
}

func main() {
	if err := divisi.Run(context.Background(), serve); err != nil {
		log.Fatal(err)
	}
}
