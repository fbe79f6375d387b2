package discover_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/divisi-go/divisi/discover"
	"github.com/divisi-go/divisi/discover/discovertest"
	"github.com/divisi-go/divisi/internal/call/memnet"
)

// over serves HTTP in memory until the test ends, and returns a client that finds the server at every address.
func over(t *testing.T, handler http.Handler) *http.Client {
	t.Helper()
	network := memnet.New()
	listener := network.Listen("consul")
	server := &http.Server{Handler: handler}
	var wg sync.WaitGroup
	wg.Go(func() { _ = server.Serve(listener) })
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return network.Dial(ctx, "consul")
	}}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		_ = server.Close()
		wg.Wait()
	})
	return &http.Client{Transport: transport}
}

// consul is as much of Consul as its keys and their blocking queries are. Its index is that of the whole store.
type consul struct {
	mu      sync.Mutex
	index   uint64
	values  map[string]string
	changed chan struct{}
}

func newConsul() *consul {
	return &consul{index: 10, values: map[string]string{}, changed: make(chan struct{})}
}

func (c *consul) set(key, value string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.index++
	c.values[key] = value
	if value == "" {
		delete(c.values, key)
	}
	close(c.changed)
	c.changed = make(chan struct{})
}

func (c *consul) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	key, query := strings.TrimPrefix(r.URL.Path, "/v1/kv/"), r.URL.Query()
	after, _ := strconv.ParseUint(query.Get("index"), 10, 64)
	longest, err := time.ParseDuration(query.Get("wait"))
	if query.Has("wait") && err != nil {
		http.Error(w, "Invalid wait time", http.StatusBadRequest)
		return
	}
	timer := time.NewTimer(longest)
	defer timer.Stop()
	for {
		c.mu.Lock()
		index, changed, list := c.index, c.changed, c.list(key, query.Has("recurse"))
		c.mu.Unlock()
		waited := after == 0 || index > after
		if !waited {
			select {
			case <-changed:
				continue
			case <-timer.C:
			case <-r.Context().Done():
				return
			}
		}
		w.Header().Set("X-Consul-Index", strconv.FormatUint(index, 10))
		if len(list) == 0 {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		_ = json.NewEncoder(w).Encode(list)
		return
	}
}

// pair is an entry as Consul has it.
type pair struct {
	Key   string
	Value []byte
}

func (c *consul) list(key string, recurse bool) (list []pair) {
	for k, v := range c.values {
		if k == key || recurse && strings.HasPrefix(k, key) {
			list = append(list, pair{k, []byte(v)})
		}
	}
	slices.SortFunc(list, func(a, b pair) int { return strings.Compare(a.Key, b.Key) })
	return list
}

// key is a key of a consul.
type key struct {
	of   *consul
	name string
}

func (k key) Put(value string) error { k.of.set(k.name, value); return nil }
func (k key) Delete() error          { k.of.set(k.name, ""); return nil }

// A key of Consul is a source, however it is called.
func TestConsul(t *testing.T) {
	for _, name := range []string{"services-test", "a b/ü?x#y%2f", "a//b/../c", "svc/"} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				server := newConsul()
				source := discover.Consul{Key: name, Client: over(t, server), Recurse: strings.HasSuffix(name, "/")}
				discovertest.Conform(t, source, key{server, name})
			})
		})
	}
}

// A folder has its keys in their order.
func TestConsulFolder(t *testing.T) {
	bubble(t, func(t *testing.T) {
		server := newConsul()
		server.set("svc/24", "24")
		server.set("svc/05", "5")
		server.set("other", "0")
		v := &discover.Value[map[string]int]{
			Source: discover.Consul{Key: "svc/", Recurse: true, Client: over(t, server)}, Decode: discover.EachJSON[int],
		}
		follow(t, v)
		check(t, v.Ready(t.Context()))
		if got := fmt.Sprint(v.Load().Value); got != "map[svc/05:5 svc/24:24]" {
			t.Errorf("the folder has %s", got)
		}
	})
}

// asked is what a server was asked.
type asked struct {
	mu   sync.Mutex
	list []*http.Request
}

// script serves one answer after the other, the last one for ever.
func (a *asked) script(answers ...http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.mu.Lock()
		n := len(a.list)
		a.list = append(a.list, r)
		a.mu.Unlock()
		answers[min(n, len(answers)-1)](w, r)
	})
}

// indexes returns with which index the server was asked each time.
func (a *asked) indexes() (list []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, r := range a.list {
		list = append(list, r.URL.Query().Get("index"))
	}
	return list
}

// one is an answer with an index and one entry.
func one(index, value string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Consul-Index", index)
		_ = json.NewEncoder(w).Encode([]pair{{"k", []byte(value)}})
	}
}

// hang answers when the client has gone.
func hang(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

// plain is an answer with a status, headers in pairs, and a body.
func plain(status int, body string, headers ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for pair := range slices.Chunk(headers, 2) {
			w.Header().Set(pair[0], pair[1])
		}
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}
}

// The index of the next request follows the rules for blocking queries.
func TestConsulIndex(t *testing.T) {
	for name, c := range map[string]struct {
		answers []http.HandlerFunc
		want    []string
	}{
		"it rises":              {[]http.HandlerFunc{one("5", "1"), one("9", "2"), hang}, []string{"", "5", "9"}},
		"it falls":              {[]http.HandlerFunc{one("5", "1"), one("3", "2"), one("4", "2"), hang}, []string{"", "5", "", "4"}},
		"it is nothing":         {[]http.HandlerFunc{one("0", "1"), one("7", "2"), hang}, []string{"", "", "7"}},
		"it is missing":         {[]http.HandlerFunc{one("", "1"), one("7", "2"), hang}, []string{"", "", "7"}},
		"it is no number":       {[]http.HandlerFunc{one("x", "1"), one("7", "2"), hang}, []string{"", "", "7"}},
		"the key is missing":    {[]http.HandlerFunc{plain(404, "", "X-Consul-Index", "6"), one("7", "2"), hang}, []string{"", "6", "7"}},
		"it is kept in trouble": {[]http.HandlerFunc{one("5", "2"), plain(500, "No cluster leader"), hang}, []string{"", "5", "5"}},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				server := new(asked)
				v := &discover.Value[int]{Source: discover.Consul{Key: "k", Client: over(t, server.script(c.answers...))}}
				follow(t, v)
				time.Sleep(10 * time.Second)
				if got := server.indexes(); !slices.Equal(got, c.want) {
					t.Errorf("the indexes are %q, and should be %q", got, c.want)
				}
				if got := v.Load().Value; got != 2 {
					t.Errorf("the value is %d", got)
				}
			})
		})
	}
}

// A server that misbehaves is a failure that says what it is; the value stays, and requests do not pile up.
func TestConsulFaults(t *testing.T) {
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		why    string
		most   int // requests in two minutes
	}{
		"it fails":              {plain(500, "No cluster leader\n"), "500 Internal Server Error: No cluster leader", 40},
		"too many requests":     {plain(429, "slower", "Retry-After", "20"), "429", 7},
		"no right":              {plain(403, "Permission denied"), "403 Forbidden: Permission denied", 9},
		"another program":       {plain(404, "404 page not found"), "404 Not Found: 404 page not found", 9},
		"a page of a proxy":     {plain(200, "<html>", "X-Consul-Index", "9"), "not Consul's", 40},
		"half an answer":        {plain(200, `[{"Key":`, "X-Consul-Index", "9"), "not Consul's", 40},
		"no base64":             {plain(200, `[{"Key":"k","Value":"?"}]`, "X-Consul-Index", "9"), "not Consul's", 40},
		"5 MB":                  {plain(200, strings.Repeat(" ", 5<<20), "X-Consul-Index", "9"), "too long", 9},
		"a cut body":            {cut, "unexpected EOF", 40},
		"a reset":               {reset, "EOF", 40},
		"no header in 10 s":     {hang, "has not answered for", 4},
		"a body that never end": {trickle, "has not answered for", 4},
		"a redirect to itself":  {plain(302, "", "Location", "/v1/kv/k"), "redirects", 40},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				server := new(asked)
				v := &discover.Value[int]{Source: discover.Consul{Key: "k", Client: over(t, server.script(one("5", "1"), c.answer))}}
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

// cut promises more than it sends.
func cut(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("X-Consul-Index", "9")
	w.Header().Set("Content-Length", "100")
	_, _ = w.Write([]byte(`[{"Key":"k"`))
}

// reset closes the connection.
func reset(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

// trickle sends a byte each second for ever.
func trickle(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Consul-Index", "9")
	for r.Context().Err() == nil {
		_, _ = w.Write([]byte(" "))
		_ = http.NewResponseController(w).Flush()
		select {
		case <-time.After(time.Second):
		case <-r.Context().Done():
		}
	}
}

// What is asked of Consul: a time that it understands, the token in a header, the mode.
func TestConsulRequest(t *testing.T) {
	token := filepath.Join(t.TempDir(), "token")
	check(t, os.WriteFile(token, []byte("from-file\n"), 0o600))

	for name, c := range map[string]struct {
		source  discover.Consul
		timeout time.Duration
		env     string
		query   string
		token   string
	}{
		"nothing said":         {discover.Consul{}, 0, "", "index=5&wait=60000ms", ""},
		"half a second":        {discover.Consul{Wait: time.Second / 2}, 0, "", "index=5&wait=1000ms", ""},
		"a client's time-out":  {discover.Consul{}, 20 * time.Second, "", "index=5&wait=15000ms", ""},
		"any server":           {discover.Consul{Stale: true}, 0, "", "index=5&stale=&wait=60000ms", ""},
		"a token":              {discover.Consul{Token: "secret"}, 0, "other", "index=5&wait=60000ms", "secret"},
		"a token of a file":    {discover.Consul{TokenFile: token}, 0, "", "index=5&wait=60000ms", "from-file"},
		"a token of the shell": {discover.Consul{}, 0, "shell", "index=5&wait=60000ms", "shell"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("CONSUL_HTTP_TOKEN", c.env)
			bubble(t, func(t *testing.T) {
				server := new(asked)
				client := over(t, server.script(one("5", "1"), plain(500, "no")))
				client.Timeout = c.timeout
				c.source.Key, c.source.Client = "k", client
				follow(t, &discover.Value[int]{Source: c.source})
				time.Sleep(10 * time.Millisecond)

				server.mu.Lock()
				defer server.mu.Unlock()
				second := server.list[1]
				if got := second.URL.RawQuery; got != c.query {
					t.Errorf("the query is %s, and should be %s", got, c.query)
				}
				if got := second.Header.Get("X-Consul-Token"); got != c.token {
					t.Errorf("the token is %q, and should be %q", got, c.token)
				}
			})
		})
	}
}

// What is wrong with where Consul is said to be is a failure that says so, and not with a token.
func TestConsulAddress(t *testing.T) {
	for address, want := range map[string]string{
		"http://[::1":    "no address of Consul",
		"gopher://x":     "unsupported protocol",
		"127.0.0.1:port": "no address of Consul",
	} {
		_, err := discover.Consul{Address: address, Key: "k", Token: "secret"}.Get(t.Context(), "")
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: the error is %v, and should say %q", address, err, want)
		}
	}

	_, err := discover.Consul{Key: "k", TokenFile: "/does/not/exist"}.Get(t.Context(), "")
	var told *discover.SourceError
	if !errors.As(err, &told) || !told.Permanent || !strings.Contains(err.Error(), "/does/not/exist") {
		t.Errorf("without its token's file: %v", err)
	}
}

// How old the answer of a server may be is part of the age.
func TestConsulStale(t *testing.T) {
	bubble(t, func(t *testing.T) {
		client := over(t, new(asked).script(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Consul-LastContact", "4000")
			one("5", "1")(w, r)
		}, hang))
		v := &discover.Value[int]{Source: discover.Consul{Key: "k", Client: client, Stale: true}}
		follow(t, v)
		check(t, v.Ready(t.Context()))
		if got := time.Since(v.Status().Contact); got != 4*time.Second {
			t.Errorf("the contact is %v ago", got)
		}
	})
}

// A real Consul is a source, where there is one.
func TestRealConsul(t *testing.T) {
	address := os.Getenv("CONSUL_HTTP_ADDR")
	if address == "" {
		t.Skip("CONSUL_HTTP_ADDR names no Consul")
	}
	name := fmt.Sprint("divisi-test/", time.Now().UnixNano())
	store := realKey{"http://" + address + "/v1/kv/" + name}
	t.Cleanup(func() { _ = store.Delete() })
	discovertest.Conform(t, discover.Consul{Key: name, Wait: 2 * time.Second}, store)
}

// realKey is the URL of a key.
type realKey struct{ url string }

func (k realKey) Put(value string) error { return k.do(http.MethodPut, value) }
func (k realKey) Delete() error          { return k.do(http.MethodDelete, "") }

func (k realKey) do(method, body string) error {
	request, err := http.NewRequest(method, k.url, strings.NewReader(body))
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return errors.New(response.Status)
	}
	return nil
}
