// Testapp is what the tests of package deployer run: components that say in which process they
// are, one of them with keys, one that can be made to hang, and one that runs once.
package main

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"os"
	"strconv"
	"sync"

	"github.com/divisi-go/divisi"
)

// Keyed has its calls routed by their keys.
type Keyed interface {
	// Pid returns the process.
	Pid(ctx context.Context, key int) (int, error)
}

type router struct{}

func (router) Pid(_ context.Context, key int) int { return key }

type keyed struct {
	divisi.Implements[Keyed]
	divisi.WithRouter[router]
}

func (*keyed) Pid(context.Context, int) (int, error) { return os.Getpid(), nil }

// Lock has a lock, which its calls and its Ready take.
type Lock interface {
	// Pid returns the process.
	Pid(ctx context.Context) (int, error)

	// Hold keeps the lock for ever, and returns the process.
	Hold(ctx context.Context) (int, error)
}

var _ divisi.NotRetriable = Lock.Hold

type lock struct {
	divisi.Implements[Lock]
	mu sync.Mutex
}

func (l *lock) Ready(context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return nil
}

func (l *lock) Pid(context.Context) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return os.Getpid(), nil
}

func (l *lock) Hold(context.Context) (int, error) {
	l.mu.Lock()
	return os.Getpid(), nil
}

// Solo runs once.
type Solo interface {
	// Pid returns the process.
	Pid(ctx context.Context) (int, error)
}

//divisi:singleton
type solo struct{ divisi.Implements[Solo] }

func (*solo) Pid(context.Context) (int, error) { return os.Getpid(), nil }

type app struct {
	divisi.Implements[divisi.Main]
	keyed   divisi.Ref[Keyed]
	lock    divisi.Ref[Lock]
	solo    divisi.Ref[Solo]
	testapp divisi.Listener
}

// ServeHTTP answers with the process that a call has reached.
func (a *app) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var pid int
	var err error
	switch r.URL.Path {
	case "/keyed":
		var key int
		if key, err = strconv.Atoi(r.FormValue("key")); err == nil {
			pid, err = a.keyed.Get().Pid(r.Context(), key)
		}
	case "/lock":
		pid, err = a.lock.Get().Pid(r.Context())
	case "/hold":
		pid, err = a.lock.Get().Hold(r.Context())
	case "/solo":
		pid, err = a.solo.Get().Pid(r.Context())
	default:
		pid = os.Getpid()
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	fmt.Fprint(w, pid)
}

func main() {
	err := divisi.Run(context.Background(), func(_ context.Context, a *app) error {
		return http.Serve(a.testapp, a)
	})
	if err != nil {
		log.Fatal(err)
	}
}
