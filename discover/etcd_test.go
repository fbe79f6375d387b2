package discover_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/divisi-go/divisi/discover"
	"github.com/divisi-go/divisi/discover/discovertest"
)

// etcd is as much of etcd's JSON API as its keys and watches are. Each revision has all values.
type etcd struct {
	mu        sync.Mutex
	revisions []map[string]string // the first is 1
	forgotten int64               // revisions before this one
	changed   chan struct{}
}

func newEtcd() *etcd {
	return &etcd{revisions: []map[string]string{{}}, changed: make(chan struct{})}
}

func (e *etcd) set(key, value string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	next := maps.Clone(e.revisions[len(e.revisions)-1])
	next[key] = value
	if value == "" {
		delete(next, key)
	}
	e.revisions = append(e.revisions, next)
	close(e.changed)
	e.changed = make(chan struct{})
}

// compact forgets all revisions but the last one.
func (e *etcd) compact() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.forgotten = int64(len(e.revisions))
}

// wanted is what a request is about.
type wanted struct {
	Key      []byte `json:"key"`
	RangeEnd []byte `json:"range_end"`
	Revision int64  `json:"revision,string"`
	Start    int64  `json:"start_revision,string"`
}

func (w wanted) picks(key string) bool {
	switch {
	case len(w.RangeEnd) == 0:
		return key == string(w.Key)
	case string(w.RangeEnd) == "\x00":
		return key >= string(w.Key)
	}
	return key >= string(w.Key) && key < string(w.RangeEnd)
}

func (w wanted) of(values map[string]string) []map[string][]byte {
	list := []map[string][]byte{}
	for _, key := range slices.Sorted(maps.Keys(values)) {
		if w.picks(key) {
			list = append(list, map[string][]byte{"key": []byte(key), "value": []byte(values[key])})
		}
	}
	return list
}

func (e *etcd) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var ask struct {
		wanted
		Create *wanted `json:"create_request"`
	}
	err := json.NewDecoder(r.Body).Decode(&ask)
	if err != nil || r.Method != http.MethodPost {
		http.Error(w, "bad request", http.StatusBadRequest)
		return
	}
	switch r.URL.Path {
	case "/v3/kv/range":
		e.mu.Lock()
		defer e.mu.Unlock()
		last := int64(len(e.revisions))
		at := last
		if ask.Revision > 0 {
			at = ask.Revision
		}
		if at < e.forgotten {
			http.Error(w, `{"message":"required revision has been compacted"}`, http.StatusBadRequest)
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"header": map[string]string{"revision": fmt.Sprint(last)}, "kvs": ask.of(e.revisions[at-1])})
	case "/v3/watch":
		e.watch(w, r, *ask.Create)
	default:
		http.NotFound(w, r)
	}
}

func (e *etcd) watch(w http.ResponseWriter, r *http.Request, about wanted) {
	say := func(result map[string]any) {
		_ = json.NewEncoder(w).Encode(map[string]any{"result": result})
		_ = http.NewResponseController(w).Flush()
	}
	e.mu.Lock()
	last, forgotten := int64(len(e.revisions)), e.forgotten
	e.mu.Unlock()
	header := map[string]string{"revision": fmt.Sprint(last)}
	say(map[string]any{"header": header, "created": true})
	if about.Start < forgotten {
		say(map[string]any{"header": header, "canceled": true, "compact_revision": fmt.Sprint(forgotten)})
		return
	}
	for {
		e.mu.Lock()
		changed := e.changed
		for n := int(about.Start); n <= len(e.revisions); n++ {
			if fmt.Sprint(about.of(e.revisions[n-2])) != fmt.Sprint(about.of(e.revisions[n-1])) {
				e.mu.Unlock()
				say(map[string]any{"header": map[string]string{"revision": fmt.Sprint(n)}, "events": []string{"something"}})
				return
			}
		}
		e.mu.Unlock()
		select {
		case <-changed:
		case <-r.Context().Done():
			return
		}
	}
}

// etcdKey is a key of an etcd.
type etcdKey struct {
	of   *etcd
	name string
}

func (k etcdKey) Put(value string) error { k.of.set(k.name, value); return nil }
func (k etcdKey) Delete() error          { k.of.set(k.name, ""); return nil }

// A key of etcd is a source, however it is called, and so is what begins like it.
func TestEtcd(t *testing.T) {
	for _, c := range []struct {
		name    string
		recurse bool
		key     string
	}{
		{"services-test", false, "services-test"},
		{"a b/ü?x#y%2f", false, "a b/ü?x#y%2f"},
		{"svc/", true, "svc/1"},
		{"b\xff", true, "b\xff1"},
		{"\xff\xff", true, "\xff\xff1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				server := newEtcd()
				server.set("svc", "beside")
				discovertest.Conform(t, discover.Etcd{Key: c.name, Recurse: c.recurse, Client: over(t, server)}, etcdKey{server, c.key})
			})
		})
	}
}

// A past that is forgotten, and a store that has begun anew, are changes; what is written beside is none.
func TestEtcdRevisions(t *testing.T) {
	bubble(t, func(t *testing.T) {
		server := newEtcd()
		server.set("k", "1")
		handler := &replaceable{handler: server}
		source := discover.Etcd{Key: "k", Client: over(t, handler)}
		get := func(after discover.Version) discover.Data {
			t.Helper()
			data, err := source.Get(t.Context(), after)
			check(t, err)
			return data
		}
		first := get("")
		server.set("other", "1")
		if got := get(first.Version); got.Version != first.Version {
			t.Errorf("something else was written: the version is %s in place of %s", got.Version, first.Version)
		}
		server.set("other", "2")
		server.compact()
		second := get(first.Version)
		if second.Version == first.Version || string(second.Entries[0].Value) != "1" {
			t.Errorf("the past is forgotten: %+v", second)
		}

		next := newEtcd()
		handler.set(next)
		begun := time.Now()
		if third := get(second.Version); len(third.Entries) != 0 || third.Version != "1" || time.Since(begun) > time.Second {
			t.Errorf("another store: %+v after %v", third, time.Since(begun))
		}
	})
}

// replaceable is a handler that may become another one.
type replaceable struct {
	mu      sync.Mutex
	handler http.Handler
}

func (r *replaceable) set(next http.Handler) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.handler = next
}

func (r *replaceable) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	r.mu.Lock()
	handler := r.handler
	r.mu.Unlock()
	handler.ServeHTTP(w, q)
}

// whole reads a request before it is handled: only then a server sees that a client has gone.
func whole(handler http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		handler.ServeHTTP(w, r)
	})
}

// A server that misbehaves, when it is asked or when it is watched, is a failure that says what it is; the value stays, and
// requests do not pile up.
func TestEtcdFaults(t *testing.T) {
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		why    string
		most   int // requests in two minutes
	}{
		"it fails":              {plain(500, `{"message":"etcdserver: no leader"}`), "500 Internal Server Error", 40},
		"too many requests":     {plain(429, "slower", "Retry-After", "20"), "429", 7},
		"no right":              {plain(403, "permission denied"), "403 Forbidden: permission denied", 9},
		"another program":       {plain(404, "404 page not found"), "404 Not Found: 404 page not found", 9},
		"a page of a proxy":     {plain(200, "<html>"), "the watch has ended: invalid character", 40},
		"half an answer":        {plain(200, `{"result":`), "unexpected EOF", 40},
		"no result":             {plain(200, `{}`), "no result", 40},
		"an error in it":        {plain(200, `{"error":{"message":"it is not well"}}`), "it is not well", 40},
		"an end":                {plain(200, `{"result":{"header":{"revision":"9"},"created":true}}`), "the watch has ended", 40},
		"5 MB":                  {plain(200, strings.Repeat(" ", 5<<20)), "the watch has ended", 40},
		"a cut body":            {cut, "EOF", 40},
		"a reset":               {reset, "EOF", 40},
		"no header in 10 s":     {hang, "has not answered for", 12},
		"a body that never end": {trickle, "has not answered for", 12},
		"a redirect to itself":  {plain(307, "", "Location", "/v3/watch"), "redirects", 40},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				server := new(asked)
				first := plain(200, `{"header":{"revision":"5"},"kvs":[{"key":"aw==","value":"MQ=="}]}`)
				v := &discover.Value[int]{Source: discover.Etcd{Key: "k", Client: over(t, whole(server.script(first, c.answer)))}}
				follow(t, v)
				time.Sleep(2 * time.Minute)
				synctest.Wait()
				s := v.Status()
				if s.Failure == nil || !strings.Contains(s.Failure.Error(), c.why) {
					t.Errorf("the failure is %v, and should say %q", s.Failure, c.why)
				}
				if v.Load().Value != 1 || s.Failures == 0 {
					t.Errorf("the value is %d, and %d requests have failed", v.Load().Value, s.Failures)
				}
				if got := len(server.indexes()); got > c.most && name != "a redirect to itself" {
					t.Errorf("there were %d requests in two minutes", got)
				}
			})
		})
	}
}

// Who asks is known by a token that the password is for, and the next address is asked when one does not answer.
func TestEtcdUser(t *testing.T) {
	password := filepath.Join(t.TempDir(), "password")
	check(t, os.WriteFile(password, []byte("secret\n"), 0o600))
	bubble(t, func(t *testing.T) {
		var tokens []string
		client := over(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			var who struct{ Name, Password string }
			_ = json.NewDecoder(r.Body).Decode(&who)
			switch {
			case r.Host == "away:1":
				w.WriteHeader(http.StatusBadGateway)
			case r.URL.Path == "/v3/auth/authenticate" && who.Name == "app" && who.Password == "secret":
				_, _ = w.Write([]byte(`{"token":"t1"}`))
			default:
				tokens = append(tokens, r.Header.Get("Authorization"))
				_, _ = w.Write([]byte(`{"header":{"revision":"7"}}`))
			}
		}))
		source := discover.Etcd{Addresses: []string{"away:1", "http://here:2"}, Key: "k", User: "app", PasswordFile: password, Client: client}
		data, err := source.Get(t.Context(), "")
		if err != nil || data.Version != "7" || !slices.Equal(tokens, []string{"t1"}) {
			t.Errorf("%+v, %v, with the tokens %q", data, err, tokens)
		}
		source.PasswordFile = "/does/not/exist"
		if _, err := source.Get(context.Background(), ""); err == nil || !strings.Contains(err.Error(), "the password of the user app") {
			t.Errorf("without a password: %v", err)
		}
	})
}

// A real etcd is a source, where there is one.
func TestRealEtcd(t *testing.T) {
	address := os.Getenv("ETCDCTL_ENDPOINTS")
	if address == "" {
		t.Skip("ETCDCTL_ENDPOINTS names no etcd")
	}
	name := fmt.Sprint("divisi-test/", time.Now().UnixNano())
	store := realEtcd{"http://" + address, name}
	t.Cleanup(func() { _ = store.Delete() })
	discovertest.Conform(t, discover.Etcd{Key: name, Wait: 2 * time.Second}, store)
}

// realEtcd is a key of etcd at a URL.
type realEtcd struct{ url, name string }

func (k realEtcd) Put(value string) error {
	return k.do("/v3/kv/put", map[string][]byte{"key": []byte(k.name), "value": []byte(value)})
}

func (k realEtcd) Delete() error {
	return k.do("/v3/kv/deleterange", map[string][]byte{"key": []byte(k.name)})
}

func (k realEtcd) do(path string, ask map[string][]byte) error {
	text, err := json.Marshal(ask)
	if err != nil {
		return err
	}
	response, err := http.Post(k.url+path, "application/json", strings.NewReader(string(text)))
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s", response.Status)
	}
	return nil
}
