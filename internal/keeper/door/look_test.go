//go:build linux

package door

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/divisi-go/divisi/internal/home"
	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/keeper/frame"
	"github.com/divisi-go/divisi/internal/keeper/link"
	"github.com/divisi-go/divisi/internal/keeper/lookup"
)

// request asks the door by HTTP.
func request(t *testing.T, h home.Home, method, path string) *http.Response {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", h.Keeper().Door)
		},
	}}
	r, err := http.NewRequestWithContext(t.Context(), method, "http://divisi"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { response.Body.Close() })
	return response
}

// TestLook: whoever has curl sees what the keeper holds.
func TestLook(t *testing.T) {
	h := newHome(t)
	serveHere(t, h)
	c := attach(t, h, shop("one"))
	socket, err := c.Listen(t.Context(), keeper.Socket{Domain: "/shop", Key: "web", Network: "tcp", Address: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	wait(t, c, run(t, c, shell("a", "exit 7")).ID)
	b := shell("b", "sleep 60")
	b.Labels, b.Sockets = map[string]string{"roles": "web,front"}, []keeper.Inherit{{Key: "web", As: "http"}}
	p := run(t, c, b)

	for path, want := range map[string]string{
		"/v1/keeper":                           fmt.Sprintf(`"pid": %d`, os.Getpid()),
		"/v1/servers":                          fmt.Sprintf(`"pid": %d`, p.Pid),
		"/v1/servers?domain=/other":            "null",
		"/v1/sockets":                          `"actual": "` + socket.Actual + `"`,
		"/v1/lookup?select=role:front":         `"server": "b@/shop"`,
		"/v1/lookup?select=b":                  `"address": "` + socket.Actual + `"`,
		"/v1/lookup?select=@...&domain=/shop":  `"name": "http"`,
		"/v1/lookup?select=@...&domain=/other": "[]",
		"/v1/lookup?select=role:back":          "[]",
		"/v1/lookup":                           `"error": "cannot select by \"\": it is empty`,
		"/v1/exits?after=0":                    `"code": 7`,
		"/v1/exits?after=1":                    "null",
		"/v1/exits?after=-1":                   `"error": "after \"-1\" is not a number"`,
		"/v1/events?after=x":                   `"code": "invalid"`,
		"/v1/nothing":                          `"error": "there is no GET /v1/nothing"`,
		"/v1/attach":                           `"error": "there is no GET /v1/attach"`,
		"/v1/servers?domain=/shop&x":           `"name": "b"`,
	} {
		text, err := io.ReadAll(request(t, h, "GET", path).Body)
		if err != nil || !strings.Contains(string(text), want) {
			t.Errorf("%s: %s (%v), want %s", path, text, err, want)
		}
	}
	desk := lookup.Desk{Socket: h.Keeper().Door}
	found, err := desk.Ask(t.Context(), "role:web")
	want := []lookup.Found{{Server: "b@/shop", Roles: []string{"web", "front"}, Sockets: []lookup.Socket{{Name: "http", Network: "tcp", Address: socket.Actual}}}}
	if err != nil || !reflect.DeepEqual(found, want) {
		t.Errorf("%+v, %v; want %+v", found, err, want)
	}
	if _, err := desk.Ask(t.Context(), "role:"); err == nil || !strings.Contains(err.Error(), "a name is empty") {
		t.Errorf("a role without a name: %v", err)
	}
	desk.Socket = h.Dir
	if _, err := desk.Ask(t.Context(), "role:web"); err == nil || !strings.Contains(err.Error(), "cannot ask the keeper at "+h.Dir+": dial unix") {
		t.Errorf("where there is no keeper: %v", err)
	}

	refused := request(t, h, "POST", "/v1/attach")
	var e frame.Error
	if err := json.NewDecoder(refused.Body).Decode(&e); err != nil || refused.StatusCode != 400 || e.Hint() == "" {
		t.Errorf("attach without an upgrade: %d %+v, %v", refused.StatusCode, e, err)
	}

	events := bufio.NewScanner(request(t, h, "GET", "/v1/events?domain=/shop").Body)
	if _, err := c.Stop(t.Context(), p.ID); err != nil {
		t.Fatal(err)
	}
	var kinds []keeper.Kind
	for len(kinds) < 9 && events.Scan() {
		var e keeper.Event
		if err := json.Unmarshal(events.Bytes(), &e); err != nil {
			t.Fatal(err)
		}
		kinds = append(kinds, e.Kind)
	}
	if got := fmt.Sprint(kinds); got != "[started ready exited stopped started ready leaves exited stopped]" {
		t.Errorf("events %s, %v", got, events.Err())
	}

	info, err := os.Stat(h.Keeper().Door)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the door is %v, %v", info.Mode(), err)
	}
}

// TestFollowed: who follows a role sees a server from when it is ready until it is asked to end or ends by itself.
func TestFollowed(t *testing.T) {
	h := newHome(t)
	desk := lookup.Desk{Socket: h.Keeper().Door}
	ctx, cancel := context.WithCancel(t.Context())
	told, ended := make(chan string, 100), make(chan error, 1)
	go func() {
		ended <- desk.Follow(ctx, "role:web", func(found []lookup.Found, err error) {
			text := ""
			for _, f := range found {
				text += " " + f.Server
			}
			if err != nil {
				text = " away"
			}
			told <- text
		})
	}()
	await := func(want string) {
		t.Helper()
		for {
			select {
			case got := <-told:
				if got == want {
					return
				}
				if got != " away" {
					t.Fatalf("it is told %q, want %q", got, want)
				}
			case <-time.After(time.Minute):
				t.Fatalf("it is not told %q", want)
			}
		}
	}

	await(" away")
	serveHere(t, h)
	await("")
	c := attach(t, h, shop("one"))
	run(t, c, shell("other", "sleep 60"))
	stubborn := shell("a", "trap '' TERM; while :; do sleep 1; done")
	stubborn.Labels, stubborn.Grace = map[string]string{"roles": "web"}, time.Minute
	a := run(t, c, stubborn)
	await(" a@/shop")
	b := shell("b", "sleep 60")
	b.Labels = map[string]string{"roles": "front,web"}
	second := run(t, c, b)
	await(" a@/shop b@/shop")
	if err := c.Signal(t.Context(), second.ID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	await(" a@/shop")

	stopped := make(chan error, 1)
	go func() {
		_, err := c.Stop(context.WithoutCancel(t.Context()), a.ID)
		stopped <- err
	}()
	await("") // although its process is there
	if err := c.Signal(t.Context(), a.ID, syscall.SIGKILL); err != nil {
		t.Error(err)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	var refused *lookup.Refused
	if err := desk.Follow(t.Context(), "role:", nil); !errors.As(err, &refused) {
		t.Errorf("a role without a name: %v", err)
	}
}

// TestStrangeClients are answered, and nobody else suffers.
func TestStrangeClients(t *testing.T) {
	h := newHome(t)
	serveHere(t, h)
	for _, test := range []struct{ line, want string }{
		{`{"id":1,"verb":"list"}`, `"code":"no_claim"`},
		{`{"id":1,"verb":"dance"}`, `"code":"unknown_verb"`},
		{`{"id":1,"verb":"attach","body":{}}`, `"code":"protocol"`},
		{`{"id":1,"verb":"attach","body":[]}`, `"code":"invalid"`},
		{`{"id":1,"verb":"attach","body":{"protocol":1,"domain":"shop"}}`, `"code":"invalid"`},
		{`{"id":1,"verb":"attach","body":{"protocol":1,"domain":"/shop","epoch":18446744073709551615}}`, `"id":1`},
		{`{"id":1,"verb":"attach","body":{"protocol":99,"new":true}}`, `"protocol":1,`},
	} {
		conn, err := link.Dial(t.Context(), h.Keeper().Door)
		if err != nil {
			t.Fatal(err)
		}
		r := newRaw(conn)
		r.say(t, test.line)
		if got := r.hear(t); !strings.Contains(got, test.want) {
			t.Errorf("%s is answered by %s, want %s", test.line, got, test.want)
		}
		conn.Close()
	}

	// Each of these wants something impossible once it is attached.
	conn, err := link.Dial(t.Context(), h.Keeper().Door)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	r := newRaw(conn)
	r.say(t, `{"id":1,"verb":"attach","body":{"protocol":1,"domain":"/strange","who":"x"}}`)
	r.hear(t)
	for i, line := range []string{
		`"verb":"attach","body":{"protocol":1}`,
		`"verb":"put","body":{"domain":"/other","key":"a"}`,
		`"verb":"start","files":1,"body":{"spec":{"domain":"/strange","name":"a","path":"/bin/true"}}`,
		`"verb":"start","body":{}`,
		`"verb":"listen","body":{}`,
		`"verb":"stop","body":{"id":{"name":"nobody"}}`,
	} {
		r.say(t, fmt.Sprintf(`{"id":%d,%s}`, i+2, line))
		if got := r.hear(t); !strings.Contains(got, `"error":"cannot `) {
			t.Errorf("%s is answered by %s", line, got)
		}
	}
}

// TestStrangeKeepers: what is at the door may be anything.
func TestStrangeKeepers(t *testing.T) {
	const welcome = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: " + link.Upgrade + "\r\n\r\n"
	for answer, want := range map[string]string{
		"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n":                                                      "answers 404 Not Found",
		"HTTP/1.1 403 Forbidden\r\nContent-Length: 47\r\n\r\n" + `{"error":"this keeper belongs to another user"}`: "belongs to another user",
		"SSH-2.0-OpenSSH\r\n\r\n": "malformed HTTP",
		welcome + "\x00":          "answers 101",
		"wait" + welcome + `{"id":1,"body":{"protocol":9}}` + "\n":   "another protocol: 9",
		"wait" + welcome + `{"id":1,"body":{"protocol":"x"}}` + "\n": "cannot unmarshal",
	} {
		h := newHome(t)
		if err := os.MkdirAll(h.Runtime, 0o700); err != nil {
			t.Fatal(err)
		}
		l, err := listen(h.Keeper().Door)
		if err != nil {
			t.Fatal(err)
		}
		var played sync.WaitGroup
		played.Go(func() {
			conn, err := l.AcceptUnix()
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			r := newRaw(conn)
			if _, err := http.ReadRequest(r.lines); err != nil {
				t.Error(err)
			}
			if answer, waits := strings.CutPrefix(answer, "wait"); waits {
				first, last, _ := strings.Cut(answer, "{")
				io.WriteString(conn, first)
				r.hear(t)
				io.WriteString(conn, "{"+last)
			} else {
				io.WriteString(conn, answer)
			}
			io.Copy(io.Discard, conn)
		})
		_, err = Attach(t.Context(), h, shop("one"))
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), h.Dir) {
			t.Errorf("%q: %v, want %s", answer, err, want)
		}
		l.Close()
		played.Wait()
	}
}

// TestKeeperThatCannotStart says why.
func TestKeeperThatCannotStart(t *testing.T) {
	h := newHome(t)
	if err := os.WriteFile(filepath.Join(h.Dir, "layout"), []byte("99\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Attach(t.Context(), h, shop("one")); err == nil || !strings.Contains(err.Error(), `has layout "99"`) {
		t.Errorf("in a folder of another layout: %v", err)
	}
	if err := os.Remove(filepath.Join(h.Dir, "layout")); err != nil {
		t.Fatal(err)
	}

	h = newHome(t)
	if err := os.MkdirAll(h.Keeper().State, 0o700); err != nil {
		t.Fatal(err)
	}
	journal := filepath.Join(h.Keeper().State, "journal.ndjson")
	if err := os.WriteFile(journal, []byte(`{"event":"keeper","format":99}`+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Attach(t.Context(), h, shop("one")); err == nil || !strings.Contains(err.Error(), "format 99 is not known") {
		t.Errorf("with a journal of another format: %v", err)
	}

	t.Setenv(Variable, h.Dir)
	if _, err := Attach(t.Context(), h, shop("one")); err == nil || !strings.Contains(err.Error(), "door.Enter") {
		t.Errorf("in a program that does not enter: %v", err)
	}
}

// TestImpatience: a client waits for nothing longer than it wants to.
func TestImpatience(t *testing.T) {
	h := newHome(t)
	if err := os.MkdirAll(h.Runtime, 0o700); err != nil {
		t.Fatal(err)
	}
	l, err := listen(h.Keeper().Door) // nobody accepts
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	why := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancelled := make(chan struct{})
	go func() {
		defer close(cancelled)
		cancel(why)
	}()
	if _, err := Attach(ctx, h, shop("one")); !errors.Is(err, why) {
		t.Errorf("attached: %v", err)
	}
	<-cancelled
}
