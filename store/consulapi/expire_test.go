package consulapi

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/divisi-go/divisi/store/internal/consul/catalog"
	"github.com/divisi-go/divisi/store/internal/consul/state"
)

// lapse ends all leases, as if their time were over.
func (s *served) lapse(t *testing.T) {
	t.Helper()
	leases, err := s.store.Client().Leases(t.Context())
	if err != nil || len(leases.Leases) == 0 {
		t.Fatalf("there are no leases: %v", err)
	}
	for _, l := range leases.Leases {
		if _, err := s.store.Client().Revoke(t.Context(), l.ID); err != nil {
			t.Fatal(err)
		}
	}
}

// until asks a query until its answer has a part.
func (w *watcher) until(t *testing.T, url, part string) {
	t.Helper()
	for !strings.Contains(w.body, part) {
		if err := w.poll(t.Context(), url, "1m"); err != nil {
			t.Fatal(err)
		}
	}
}

// TestExpire: a session that is not renewed lets go what it holds, and a check that is not renewed is critical until it is;
// who waits is told, and it is the same where nobody served when the time was over.
func TestExpire(t *testing.T) {
	dir := t.TempDir()
	s := serve(t, dir)
	lock := func(key string) string {
		var made struct{ ID string }
		r := s.do(t, http.MethodPut, "/v1/session/create", `{"TTL":"10s","LockDelay":"0s"}`)
		if err := json.NewDecoder(r.Body).Decode(&made); err != nil {
			t.Fatal(err)
		}
		s.do(t, http.MethodPut, "/v1/kv/"+key+"?acquire="+made.ID, "v").Body.Close()
		return made.ID
	}
	service := `{"Name":"web","Check":{"TTL":"10m","Status":"passing"}}`
	s.do(t, http.MethodPut, "/v1/agent/service/register", service).Body.Close()
	id := lock("k")
	key, checks := &watcher{path: "/v1/kv/k"}, &watcher{path: "/v1/health/checks/web"}
	key.until(t, s.url, id)
	checks.until(t, s.url, catalog.Passing)

	s.lapse(t)
	key.body = ""
	key.until(t, s.url, `"LockIndex":1,"Key":"k","Flags":0,"Value":"dg==","CreateIndex"`)
	checks.until(t, s.url, "TTL expired")
	if r := s.do(t, http.MethodPut, "/v1/session/renew/"+id, ""); r.StatusCode != http.StatusNotFound {
		t.Errorf("the session is renewed with %d", r.StatusCode)
	}
	if r := s.do(t, http.MethodPut, "/v1/agent/check/pass/service:web", ""); r.StatusCode != http.StatusOK {
		said, _ := io.ReadAll(r.Body)
		t.Fatalf("the check is renewed with %d: %s", r.StatusCode, said)
	}
	checks.until(t, s.url, catalog.Passing)

	lock("l")
	s.stop()
	s.lapse(t)
	if err := s.store.Close(); err != nil {
		t.Fatal(err)
	}
	again := serve(t, dir)
	checks.until(t, again.url, "TTL expired")
	key = &watcher{path: "/v1/kv/l"}
	key.until(t, again.url, `"LockIndex":1,"Key":"l","Flags":0,"Value":"dg==","CreateIndex"`)
}

// TestManyHeld: a session that holds much lets go all of it, step by step.
func TestManyHeld(t *testing.T) {
	s := serve(t, t.TempDir())
	session := &state.Session{Node: "n1", Behavior: "delete", LockDelay: 1}
	if _, err := s.state.Create(t.Context(), session); err != nil {
		t.Fatal(err)
	}
	var ops []state.Op
	for i := range maxOps {
		ops = append(ops, state.Op{Verb: "lock", Key: "k" + strings.Repeat("x", i), Session: session.ID, Flags: 1})
	}
	if done, err := s.state.Apply(t.Context(), ops); err != nil || len(done.Failures) > 0 {
		t.Fatalf("they are locked with %v, %v", done.Failures, err)
	}
	if _, found, err := s.state.End(t.Context(), session.ID); err != nil || !found {
		t.Fatalf("it ends with %v, %v", found, err)
	}
	left, _, err := s.state.List(t.Context(), "", false)
	if err != nil || len(left) != 0 {
		t.Errorf("left are %d: %v", len(left), err)
	}
}
