package consulapi

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/divisi-go/divisi/store"
)

// TestTerms: a wait of 0 and less is one of five minutes, and ten is the most.
func TestTerms(t *testing.T) {
	s := New(nil, Options{})
	for wait, want := range map[string]time.Duration{
		"": 5 * time.Minute, "0s": 5 * time.Minute, "-3s": 5 * time.Minute, "9s": 9 * time.Second,
		"15000ms": 15 * time.Second, "20m": 10 * time.Minute, "200000h": 10 * time.Minute,
	} {
		got, err := s.parse(url.Values{"wait": {wait}, "index": {"18446744073709551615"}, "dc": {"dc1"}, "ns": {"default"}})
		if err != nil || got.wait != want || got.index <= 0 {
			t.Errorf("wait=%s is %+v: %v", wait, got, err)
		}
	}
}

// FuzzServe: whatever is asked gets an answer.
func FuzzServe(f *testing.F) {
	kept, err := store.Open(f.Context(), store.Options{Dir: f.TempDir()})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = kept.Close() })
	s := New(kept.Client(), Options{Node: "n"})
	for _, seed := range [][3]string{
		{"PUT", "/v1/kv/a%20b?flags=3&cas=0", "v"}, {"GET", "/v1/kv/a?recurse&index=3&wait=1s", ""}, {"GET", "/v1/kv/?keys&separator=/", ""},
		{"DELETE", "/v1/kv/a//?recurse&pretty", ""}, {"OPTIONS", "/v1/kv/a", ""},
		{"PUT", "/v1/txn", `[{"KV":{"Verb":"set","Key":"a","Value":"dg=="}},{"KV":{"Verb":"delete-tree","Key":""}}]`},
		{"PUT", "/v1/session/create", `{"LockDelay":15,"TTL":"10s","Behavior":"delete"}`},
		{"PUT", "/v1/agent/service/register", `{"Name":"web","Check":{"TTL":"1m","DeregisterCriticalServiceAfter":1e30}}`},
		{"PUT", "/v1/catalog/register", `{"Node":"n","Address":"a","Service":{"Service":"s"},"Check":{"Name":"c"}}`},
		{"GET", "/v1/health/service/web?passing&filter=Checks.Status==passing&node-meta=a:b", ""},
	} {
		f.Add(seed[0], seed[1], []byte(seed[2]))
	}
	f.Fuzz(func(t *testing.T, method, target string, body []byte) {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		r, err := http.NewRequestWithContext(ctx, method, "http://localhost"+target, strings.NewReader(string(body)))
		if err != nil {
			return
		}
		s.ServeHTTP(httptest.NewRecorder(), r)
	})
}
