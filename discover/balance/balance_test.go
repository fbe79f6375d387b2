package balance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// fixed has the same endpoints always.
func fixed(list ...Endpoint) func() []Endpoint { return func() []Endpoint { return list } }

// server serves until the test ends.
func server(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(handler)
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// nobody returns an address where nobody listens.
func nobody(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// TestShares: requests follow the weights, within a tenth, whether there is one at a time or many.
func TestShares(t *testing.T) {
	list := []Endpoint{{"a:1", 1}, {"b:1", 2}, {"c:1", 4}}
	for _, inside := range []int{1, 70} {
		p := &pool{}
		got, queue := map[string]int{}, []string{}
		const all = 70_000
		for range all {
			address, _ := p.take(list, nil, time.Time{})
			got[address]++
			queue = append(queue, address)
			if len(queue) == inside {
				p.done(queue[0])
				queue = queue[1:]
			}
		}
		for _, e := range list {
			want := all * e.Weight / 7
			if n := got[e.Address]; n < want*9/10 || n > want*11/10 {
				t.Errorf("%d at a time: %s has %d, want about %d", inside, e.Address, n, want)
			}
		}
	}
}

// TestSlower: of two that are alike the one that takes longer has fewer requests.
func TestSlower(t *testing.T) {
	p := &pool{}
	list := []Endpoint{{Address: "slow:1"}, {Address: "quick:1"}}
	got := map[string]int{}
	for range 1000 {
		address, _ := p.take(list, nil, time.Time{})
		got[address]++
		if address == "quick:1" {
			p.done(address)
		} else if got[address]%10 == 0 {
			for range 10 {
				p.done(address)
			}
		}
	}
	if got["slow:1"] > 350 {
		t.Errorf("the slow one has %d of 1000", got["slow:1"])
	}
}

// TestRests: who fails five times in a row has a rest, which grows until it answers; half of the list has none.
func TestRests(t *testing.T) {
	p, now := &pool{}, time.Now()
	list := []Endpoint{{Address: "a:1"}, {Address: "b:1"}, {Address: "c:1"}, {Address: "d:1"}}
	p.follow(list)
	chosen := func() []string {
		var all []string
		for range 200 {
			address, _ := p.take(list, nil, now)
			p.done(address)
			if !slices.Contains(all, address) {
				all = append(all, address)
			}
		}
		slices.Sort(all)
		return all
	}
	fail := func(times int, addresses ...string) {
		for range times {
			for _, a := range addresses {
				p.failed(a, now)
			}
		}
	}
	expect := func(what, want string) {
		t.Helper()
		if got := strings.Join(chosen(), " "); got != want {
			t.Errorf("%s: %s are asked, want %s", what, got, want)
		}
	}

	fail(4, "a:1")
	expect("four failures", "a:1 b:1 c:1 d:1")
	fail(1, "a:1")
	expect("five failures", "b:1 c:1 d:1")
	now = now.Add(rest)
	expect("after its rest", "a:1 b:1 c:1 d:1")
	fail(1, "a:1")
	now = now.Add(rest)
	expect("the second rest is longer", "b:1 c:1 d:1")
	fail(5, "b:1", "c:1", "d:1")
	expect("half of them at most", "c:1 d:1")
	now = now.Add(maxRest)
	p.answered("a:1")
	fail(4, "a:1")
	expect("it has answered", "a:1 b:1 c:1 d:1")

	list = list[:1]
	fail(50, "a:1")
	expect("there is no other", "a:1")
	if len(p.known) != 1 {
		t.Errorf("it remembers %d endpoints of one", len(p.known))
	}
}

// TestRepeats: what is sent to another endpoint when one is not there, or breaks off.
func TestRepeats(t *testing.T) {
	var reached atomic.Int64
	good := server(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s %s %v", r.Method, r.Host, body, err)
	})
	breaks := server(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		reached.Add(1)
		panic(http.ErrAbortHandler)
	})
	gateway := server(t, func(w http.ResponseWriter, r *http.Request) {
		reached.Add(1)
		http.Error(w, "nobody behind me", http.StatusBadGateway)
	})
	once := struct{ io.Reader }{strings.NewReader("x")} // has no beginning to go back to

	for name, c := range map[string]struct {
		bad    string
		method string
		body   io.Reader
		header string
		want   string
	}{
		"nobody there, GET":           {nobody(t), "GET", nil, "", "GET photos  <nil>"},
		"nobody there, POST":          {nobody(t), "POST", strings.NewReader("x"), "", "POST photos x <nil>"},
		"it breaks off, GET":          {breaks, "GET", nil, "", "GET photos  <nil>"},
		"it breaks off, PUT":          {breaks, "PUT", strings.NewReader("x"), "", "PUT photos x <nil>"},
		"it breaks off, POST":         {breaks, "POST", strings.NewReader("x"), "", "EOF"},
		"it breaks off, POST by key":  {breaks, "POST", strings.NewReader("x"), "7", "POST photos x <nil>"},
		"it breaks off, PUT, no body": {breaks, "PUT", once, "", "EOF"},
		"a gateway, GET":              {gateway, "GET", nil, "", "GET photos  <nil>"},
		"a gateway, POST":             {gateway, "POST", strings.NewReader("x"), "", "nobody behind me\n"},
	} {
		// The weight has the bad one asked first, nearly always.
		transport := &Transport{Endpoints: fixed(Endpoint{c.bad, 1 << 20}, Endpoint{good, 1}), Base: &http.Transport{DisableKeepAlives: true}}
		request, err := http.NewRequest(c.method, "http://photos/x", c.body)
		if err != nil {
			t.Fatal(err)
		}
		if c.header != "" {
			request.Header.Set("Idempotency-Key", c.header)
		}
		got := ""
		response, err := transport.RoundTrip(request)
		if err == nil {
			var text []byte
			text, err = io.ReadAll(response.Body)
			got = string(text)
		}
		if err != nil {
			got = err.Error()
		}
		if !strings.HasSuffix(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
		for address, s := range transport.pool.known {
			if s.inside != 0 {
				t.Errorf("%s: %s has %d requests afterwards", name, address, s.inside)
			}
		}
	}
	if reached.Load() == 0 {
		t.Error("nothing has reached the endpoints that fail")
	}
}

// TestLeft: without endpoints a request is an error; one inside an endpoint that has left ends there; a caller that goes says nothing
// of the endpoint.
func TestLeft(t *testing.T) {
	going := make(chan struct{})
	at := server(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			<-r.Context().Done()
			return
		}
		_, _ = io.WriteString(w, "begun ")
		_ = http.NewResponseController(w).Flush()
		<-going
		_, _ = io.WriteString(w, "done")
	})
	var list atomic.Pointer[[]Endpoint]
	list.Store(&[]Endpoint{{Address: at}})
	transport := &Transport{Endpoints: func() []Endpoint { return *list.Load() }, Base: &http.Transport{}}
	client := &http.Client{Transport: transport}
	response, err := client.Get("http://photos/")
	if err != nil {
		t.Fatal(err)
	}
	list.Store(new([]Endpoint))
	if _, err := client.Get("http://photos/"); !errors.Is(err, ErrNone) {
		t.Errorf("without endpoints: %v", err)
	}
	close(going)
	text, err := io.ReadAll(response.Body)
	if err != nil || string(text) != "begun done" {
		t.Errorf("%q, %v", text, err)
	}

	list.Store(&[]Endpoint{{Address: at}})
	for range tolerated + 1 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://photos/slow", nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := client.Do(request); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a caller that goes: %v", err)
		}
		cancel()
	}
	if s := transport.pool.known[at]; s.failures != 0 || s.inside != 0 {
		t.Errorf("callers that went: %+v", s)
	}
}
