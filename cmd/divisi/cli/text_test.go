package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/divisi-go/divisi/cmd/divisi/build"
	"github.com/divisi-go/divisi/cmd/divisi/console"
	"github.com/divisi-go/divisi/cmd/divisi/view"
	"github.com/divisi-go/divisi/codegen"
	"github.com/divisi-go/divisi/internal/control"
	"github.com/divisi-go/divisi/internal/place"
)

func TestParseReplicas(t *testing.T) {
	got, err := parseReplicas([]string{"3", "cart=1", "pay=1000"})
	if want := map[string]int{"": 3, "cart": 1, "pay": 1000}; err != nil || !maps.Equal(got, want) {
		t.Errorf("got %v, %v", got, err)
	}
	for _, wrong := range []string{"", "0", "-1", "1001", "many", "cart=", "cart=x", "=3", "cart=1=2"} {
		if got, err := parseReplicas([]string{wrong}); err == nil {
			t.Errorf("%q is read as %v", wrong, got)
		}
	}
}

func TestAgeOf(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Hour: "0s", 1499 * time.Millisecond: "1s", 187 * time.Second: "3m7s",
		time.Hour: "1h0m", 125*time.Minute + 9*time.Second: "2h5m", 219 * time.Hour: "9d3h",
	} {
		if got := console.Age(d); got != want {
			t.Errorf("%v is %s, want %s", d, got, want)
		}
	}
}

func TestStatusText(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.Local)
	var out bytes.Buffer
	c := &command{&console.Console{Out: &out}}
	c.showStatus(control.Status{
		App: "shop", Version: "V1", State: "degraded", Binary: "/bin/shop", Started: now,
		Controller: control.Controller{Pid: 99, Socket: "/run/shop.sock", Page: "http://127.0.0.1:2", LogDir: "/logs/shop"},
		Listeners:  []control.ListenerStatus{{Name: "web", URL: "http://127.0.0.1:1"}},
		Groups:     []control.GroupStatus{{Name: "cart", Components: []string{"cart.Cart"}, Wanted: 2, Ready: 1}},
		Replicas: []control.ReplicaStatus{{Name: "cart-0@/shop", State: "failed", Version: "V1",
			LastExit: &control.ExitStatus{Text: "exited with code 3", Time: now}}},
	}, now)
	want := `shop is degraded

version       V1
binary        /bin/shop
started       2026-01-02 03:04:05
process       99
logs          /logs/shop
control       /run/shop.sock
listener web  http://127.0.0.1:1
live page     http://127.0.0.1:2

GROUP  READY  COMPONENTS
cart   1/2    cart.Cart

NAME          PID  GROUP  STATE   VERSION  RESTARTS  AGE  COMPONENTS
cart-0@/shop  -           failed  V1       0         -

cart-0@/shop exited with code 3 at 03:04:05
`
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
}

// TestMembersText: what a program consists of is a table in which each stands below what it is in.
func TestMembersText(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.Local)
	next := now.Add(2 * time.Second)
	var out bytes.Buffer
	c := &command{&console.Console{Out: &out}}
	c.Columns(view.Members([]control.Member{
		{Path: "/orderd", Kind: "program", State: "ready", Since: now.Add(-time.Minute)},
		{Path: "/orderd/eu", Kind: "scope", State: "ready", Since: now.Add(-time.Minute), Failure: "of yesterday"},
		{Path: "/orderd/eu/web", Kind: "server", State: "backoff", Since: now, Restarts: 3, Next: &next, Failure: "exited with code 1\nlast words"},
		{Path: "/orderd/eu/db", Kind: "server", State: "ready", Since: now, Host: "local", HostIs: "away"},
	}, now))
	want := `MEMBER   KIND     STATE                      RESTARTS  AGE   FAILURE
orderd   program  ready                      0         1m0s
  eu     scope    ready                      0         1m0s
    web  server   backoff 2s                 3         0s    exited with code 1
    db   server   ready, its keeper is away  0         0s
`
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
}

func TestReport(t *testing.T) {
	interrupted, cancel := context.WithCancel(t.Context())
	cancel()
	for _, tt := range []struct {
		ctx  context.Context
		err  error
		code int
		text string
	}{
		{t.Context(), nil, 0, ""},
		{t.Context(), errors.New("bad"), 1, "divisi: error: bad\n"},
		{t.Context(), console.UsageError("wrong %s", "flag"), 2, "divisi: error: wrong flag\n"},
		{t.Context(), console.Failure("do this", "bad"), 1, "divisi: error: bad\ndivisi: hint: do this\n"},
		{t.Context(), &build.Error{Text: "bad", Way: "out"}, 1, "divisi: error: bad\ndivisi: hint: out\n"},
		{t.Context(), degraded(control.Status{App: "shop", State: "degraded"}, nil), 3,
			"divisi: error: shop is degraded\ndivisi: hint: see: divisi logs shop --level warn\n"},
		{t.Context(), context.DeadlineExceeded, 4, "divisi: error: context deadline exceeded\n"},
		{interrupted, context.Canceled, 130, ""},
	} {
		var out bytes.Buffer
		c := &command{&console.Console{Err: &out}}
		if code := c.report(tt.ctx, tt.err); code != tt.code || out.String() != tt.text {
			t.Errorf("%v: got %d and %q", tt.err, code, out.String())
		}
	}
}

func TestWithin(t *testing.T) {
	wait := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	var coded *console.Error
	if err := console.Within(t.Context(), time.Millisecond, wait); !errors.As(err, &coded) || coded.Code != console.Timeout {
		t.Errorf("got %v", err)
	}
	interrupted, cancel := context.WithCancel(t.Context())
	cancel()
	if err := console.Within(interrupted, time.Hour, wait); err != context.Canceled {
		t.Errorf("got %v", err)
	}
	if err := console.Within(t.Context(), time.Hour, func(context.Context) error { return nil }); err != nil {
		t.Errorf("got %v", err)
	}
}

func TestMermaid(t *testing.T) {
	const shop = "example.com/shop/"
	got := mermaid([]codegen.Info{
		{Name: shop + "cart/Cart", Refs: []string{shop + "cart/Store#fast", shop + "not/Linked"}},
		{Name: shop + "cart/Store#fast"},
	})
	want := "graph TD\n    c0[\"cart.Cart\"]\n    c1[\"cart.Store#fast\"]\n    c0 --> c1\n"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// TestDefaultReplicas: the document has the number that decides.
func TestDefaultReplicas(t *testing.T) {
	text, err := os.ReadFile("../../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	_, row, _ := strings.Cut(string(text), "| `replicas` |")
	row, _, _ = strings.Cut(row, "\n")
	if want := fmt.Sprintf("| %d; ", place.DefaultReplicas); !strings.Contains(row, want) {
		t.Errorf("docs/configuration.md says of replicas%s, want the default %q", row, want)
	}
}
