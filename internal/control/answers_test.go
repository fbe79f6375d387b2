package control

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"math"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/divisi-go/divisi/internal/event"
)

var update = flag.Bool("update", false, "write testdata")

// example is an application with a value in every member of every answer.
type example struct{ *application }

func (example) Status() Status {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	next := at.Add(time.Minute)
	return Status{
		App: "shop", Domain: "/shop", Version: "2", State: "degraded", Binary: "/bin/shop", Started: at,
		Listeners: []ListenerStatus{{Name: "web", Address: "127.0.0.1:80", URL: "http://127.0.0.1:80"}},
		Groups:    []GroupStatus{{Name: "cart", Components: []string{"cart.Cart"}, Wanted: 2, Ready: 1}},
		Replicas: []ReplicaStatus{
			{Name: "cart-0@/shop", App: "shop", Pid: 7, State: "ready", Group: "cart", Restarts: 1, Started: at,
				Version: "2", Address: "unix:///run/shop.d/0.sock", Components: []string{"cart.Cart"},
				LastExit: &ExitStatus{Code: -1, Signal: "killed", Time: at, Text: "was ended by the signal killed"}},
			{Name: "cart-1@/shop", App: "shop", State: "backoff", Group: "cart", Replica: 1, Started: at,
				Version: "2", Components: []string{"cart.Cart"}, NextStart: &next},
		},
		Edges: []Edge{{From: "main", To: "cart.Cart"}},
	}
}

func (example) Metrics(context.Context) ([]ReplicaMetrics, error) {
	return []ReplicaMetrics{{Name: "cart-0@/shop", Version: "2", Group: "cart", Metrics: []Metric{
		{Name: "size", Type: "histogram", Help: "Sizes.", Labels: map[string]string{"method": "Add"}, Value: 3,
			Bounds: []Number{1, 2}, Counts: []uint64{0, 1, 1}},
		{Name: "load", Type: "gauge", Value: Number(math.Inf(1))},
	}}}, nil
}

func (example) Profile(context.Context, string, string, time.Duration) ([]ReplicaProfile, error) {
	return []ReplicaProfile{{Name: "cart-0@/shop", Version: "2", Group: "cart", Profile: []byte("pprof")}},
		errors.New("main-0@/shop: no answer")
}

// desk is one with a value in every member of every answer.
type desk struct{}

func (desk) Questions() []Question {
	return []Question{{
		App: "shop", Key: "/shop/port", Text: "which port?", Type: "a whole number", Default: "80", Refused: "80 is taken",
		Since: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Given: &Answer{Key: "/shop/port", Kind: Value, Value: "8080"},
	}}
}

func (desk) Answer(a Answer) error {
	if a.Kind == Retry {
		return &Error{Text: "it wants a value", Code: Invalid, Way: "give one"}
	}
	return nil
}

func (desk) Verbs() []Verb {
	return []Verb{{Name: "eu/add", Args: []string{"int", "int..."}, Answer: "int", Help: "Adds.", Who: "ann"}}
}

func (desk) Do(_ context.Context, verb string, args []string) (any, error) {
	if verb != "add" {
		return nil, errors.New("there is no " + verb)
	}
	return args, nil
}

// TestAnswers keeps what every path answers, which programs rely on.
func TestAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app := example{newApplication("shop")}
		close(app.over)
		s := &Server{
			Name: "shop", App: app, Events: &event.Log{},
			Controller: Controller{Pid: 4711, Socket: "/run/shop.sock", Page: "http://127.0.0.1:1", LogDir: "/logs/shop"},
			Logs: func(_ context.Context, _ url.Values, emit func(any) error) error {
				return errors.Join(emit(map[string]string{"msg": "<1>"}), errors.New("the disk is gone"))
			},
		}
		s.Events.Add(event.Ready{Server: event.Server{Name: "cart-0@/shop", Group: "cart", Version: "2", Pid: 7}})

		var out bytes.Buffer
		for _, ask := range []string{
			"GET /v1/servers", "GET /v1/apps", "GET /v1/apps/shop/status", "GET /v1/apps/shop/metrics",
			"POST /v1/apps/shop/profile?kind=heap", "POST /v1/apps/shop/profile?kind=block",
			"POST /v1/apps/shop/stop", "GET /v1/apps/shop/logs", "GET /v1/apps/shop/events",
			"GET /v1/apps/store/status", "GET /v1/status",
			"GET /v1/apps/shop/verbs", "desk", "GET /v1/apps/shop/questions", "GET /v1/apps/shop/verbs",
			"POST /v1/apps/shop/answer key=port&kind=value&value=8080", "POST /v1/apps/shop/answer key=port&kind=no",
			"POST /v1/apps/shop/answer key=port&kind=retry", "POST /v1/apps/shop/do verb=add&arg=1&arg=2",
			"POST /v1/apps/shop/do verb=sub", "POST /v1/apps/shop/do?verb=add&arg=1", "POST /v1/apps/shop/answer key=%",
		} {
			if ask == "desk" {
				s.Desk = desk{}
				continue
			}
			method, path, _ := strings.Cut(ask, " ")
			path, form, _ := strings.Cut(path, " ")
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			answer := httptest.NewRecorder()
			request := httptest.NewRequestWithContext(ctx, method, path, strings.NewReader(form))
			request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			s.Handler().ServeHTTP(answer, request)
			cancel()
			fmt.Fprintf(&out, "%s\n%d %s\n%s\n", ask, answer.Code, answer.Header().Get("Content-Type"), answer.Body)
		}

		const file = "testdata/answers.txt"
		if *update {
			if err := errors.Join(os.MkdirAll("testdata", 0o755), os.WriteFile(file, out.Bytes(), 0o644)); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil || !bytes.Equal(out.Bytes(), want) {
			t.Errorf("%v\ngot\n%s\nwant\n%s", err, out.Bytes(), want)
		}
	})
}
