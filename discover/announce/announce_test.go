package announce

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// store is one in memory, with leases that end.
type store struct {
	mu     sync.Mutex
	away   bool
	leases int // that were given
	last   *lease
}

type lease struct {
	of    *store
	until time.Time
	ttl   time.Duration
	ended bool
}

var errAway = errors.New("away")

func (s *store) Announce(_ context.Context, _ string, _ []byte, ttl time.Duration) (Lease, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.away {
		return nil, errAway
	}
	s.leases++
	s.last = &lease{of: s, until: time.Now().Add(ttl), ttl: ttl}
	return s.last, nil
}

func (l *lease) Renew(context.Context) error {
	l.of.mu.Lock()
	defer l.of.mu.Unlock()
	switch {
	case l.of.away:
		return errAway
	case l.ended || time.Now().After(l.until):
		return ErrLost
	}
	l.until = time.Now().Add(l.ttl)
	return nil
}

func (l *lease) End(ctx context.Context) error {
	l.of.mu.Lock()
	defer l.of.mu.Unlock()
	if l.of.away {
		return errAway
	}
	l.ended = true
	return ctx.Err()
}

func (s *store) set(away bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.away = away
}

// has checks whether the store has what is announced, and how many leases it has given.
func (s *store) has(t *testing.T, what string, there bool, leases int) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	is := s.last != nil && !s.last.ended && time.Now().Before(s.last.until)
	if is != there || s.leases != leases {
		t.Errorf("%s: it is there: %v, with %d leases; want %v, with %d", what, is, s.leases, there, leases)
	}
}

// forget has the store forget its lease.
func (s *store) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last.ended = true
}

// TestServe: it is there while it is served, whatever becomes of the store meanwhile, and gone at once afterwards.
func TestServe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &store{away: true}
		var failures atomic.Int64
		a := &Announcement{To: s, Key: "k", OnError: func(error) { failures.Add(1) }}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- a.Serve(ctx) }()

		time.Sleep(time.Minute)
		if n := failures.Load(); n < 5 || n > 60 {
			t.Errorf("%d failures in a minute without a store", n)
		}
		if err := a.Serve(t.Context()); !errors.Is(err, ErrServed) {
			t.Errorf("served twice: %v", err)
		}
		s.set(false)
		if err := a.Ready(t.Context()); err != nil {
			t.Error(err)
		}
		s.has(t, "the store is back", true, 1)
		time.Sleep(time.Hour)
		s.has(t, "after an hour", true, 1)
		s.set(true)
		time.Sleep(6 * time.Second)
		s.set(false)
		time.Sleep(4 * time.Second)
		s.has(t, "after a short outage", true, 1)
		s.set(true)
		time.Sleep(time.Minute)
		s.set(false)
		time.Sleep(20 * time.Second)
		s.has(t, "after a long outage", true, 2)
		s.forget()
		time.Sleep(5 * time.Second)
		s.has(t, "a forgotten lease", true, 3)

		begun := time.Now()
		cancel()
		if err := <-ended; err != nil || time.Since(begun) > 0 {
			t.Errorf("at the end: %v after %v", err, time.Since(begun))
		}
		s.has(t, "at the end", false, 3)
	})
}

// TestRequests: what is said to Consul and to etcd, and what their answers mean. Real ones are asked in conformance.
func TestRequests(t *testing.T) {
	var asked []string
	var answers map[string]string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		line := r.Method + " " + r.URL.String()
		asked = append(asked, line+" "+string(body)+r.Header.Get("X-Consul-Token")+r.Header.Get("Authorization"))
		answer, ok := answers[line]
		if !ok {
			w.WriteHeader(http.StatusNotFound)
		}
		_, _ = io.WriteString(w, answer)
	}))
	defer server.Close()
	address := server.Listener.Addr().String()
	const consulCreate, consulPut = "PUT /v1/session/create", "PUT /v1/kv/a%20b/%C3%BC?acquire=s1"
	const grant, put = "POST /v3/lease/grant", "POST /v3/kv/put"

	for name, c := range map[string]struct {
		to      Store
		answers string // in pairs
		then    func(Lease, context.Context) error
		asked   []string
		err     string
	}{
		"consul": {
			Consul{Address: address, Token: "T"}, consulCreate + `|{"ID":"s1"}|` + consulPut + "|true|PUT /v1/session/renew/s1|[]", Lease.Renew,
			[]string{consulCreate + ` {"Behavior":"delete","LockDelay":"0s","Name":"a b/ü","TTL":"15s"}T`, consulPut + " vT", "PUT /v1/session/renew/s1 T"}, "",
		},
		"consul, taken": {
			Consul{Address: address}, consulCreate + `|{"ID":"s1"}|` + consulPut + "|false|PUT /v1/session/destroy/s1|true", Lease.Renew,
			[]string{consulCreate + ` {"Behavior":"delete","LockDelay":"0s","Name":"a b/ü","TTL":"15s"}`, consulPut + " v", "PUT /v1/session/destroy/s1 "}, "another session has the key",
		},
		"consul, lost": {
			Consul{Address: address}, consulCreate + `|{"ID":"s1"}|` + consulPut + "|true", Lease.Renew, nil, ErrLost.Error(),
		},
		"consul, no": {Consul{Address: address}, consulCreate + "|<html>", nil, nil, "is not what it should be"},
		"etcd": {
			Etcd{Address: "http://" + address, Token: "T"}, grant + `|{"ID":"7","TTL":"15"}|` + put + "|{}|POST /v3/lease/revoke|{}", Lease.End,
			[]string{grant + ` {"TTL":15}T`, put + ` {"key":"YSBiL8O8","lease":"7","value":"dg=="}T`, `POST /v3/lease/revoke {"ID":"7"}T`}, "",
		},
		"etcd, renewed": {
			Etcd{Address: address}, grant + `|{"ID":"7"}|` + put + `|{}|POST /v3/lease/keepalive|{"result":{"ID":"7","TTL":"15"}}`, Lease.Renew, nil, "",
		},
		"etcd, lost": {Etcd{Address: address}, grant + `|{"ID":"7"}|` + put + `|{}|POST /v3/lease/keepalive|{"result":{"ID":"7"}}`, Lease.Renew, nil, ErrLost.Error()},
		"etcd, refused": {
			Etcd{Address: address}, grant + `|{"ID":"7"}|POST /v3/lease/revoke|{}`, nil,
			[]string{grant + ` {"TTL":15}`, put + ` {"key":"YSBiL8O8","lease":"7","value":"dg=="}`, `POST /v3/lease/revoke {"ID":"7"}`}, "404 Not Found",
		},
	} {
		asked, answers = nil, map[string]string{}
		for pair := range slices.Chunk(strings.Split(c.answers, "|"), 2) {
			answers[pair[0]] = pair[1]
		}
		lease, err := c.to.Announce(t.Context(), "a b/ü", []byte("v"), 15*time.Second)
		if err == nil {
			err = c.then(lease, t.Context())
		}
		if got := fmt.Sprint(err); (err != nil || c.err != "") && (c.err == "" || !strings.Contains(got, c.err)) {
			t.Errorf("%s: %v, want %q", name, err, c.err)
		}
		if c.asked != nil && !slices.Equal(asked, c.asked) {
			t.Errorf("%s: it asks\n%s\nwant\n%s", name, strings.Join(asked, "\n"), strings.Join(c.asked, "\n"))
		}
	}
}
