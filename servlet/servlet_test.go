package servlet

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// place is a folder of servlets that are answered.
type place struct {
	t        *testing.T
	folder   string
	servlets *Servlets
	url      string
	log      *syncBuffer
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func open(t *testing.T, o Options) *place {
	t.Helper()
	p := &place{t: t, folder: t.TempDir(), log: &syncBuffer{}}
	o.Log = slog.New(slog.NewTextHandler(p.log, nil))
	root, err := os.OpenRoot(p.folder)
	if err != nil {
		t.Fatal(err)
	}
	p.servlets, err = New(o)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, _, _ := strings.Cut(r.URL.Path[1:], ".wasm")
		p.servlets.Handler(root, name+".wasm").ServeHTTP(w, r)
	}))
	p.url = server.URL
	t.Cleanup(func() {
		server.Close()
		p.servlets.Close()
		root.Close()
	})
	return p
}

// put puts a servlet there, as a site's owner does: by a rename.
func (p *place) put(name string, code []byte) {
	p.t.Helper()
	next := filepath.Join(p.folder, ".next")
	err := os.WriteFile(next, code, 0o644)
	if err == nil {
		err = os.Rename(next, filepath.Join(p.folder, name))
	}
	if err != nil {
		p.t.Fatal(err)
	}
}

func (p *place) get(name string) (int, string) {
	p.t.Helper()
	response, err := http.Get(p.url + "/" + name)
	if err != nil {
		p.t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

// TestFaults: whatever a servlet does costs its own request. Beside each of them, another one answers.
func TestFaults(t *testing.T) {
	p := open(t, Options{Limit: time.Second, Memory: 4 << 20, AnswerMax: 1 << 20})
	p.put("good.wasm", greeting("hello"))
	for _, c := range []struct {
		name string
		code []byte
		want int
		log  string
	}{
		{"loops", module(1, "", fine, forever(fine)), 504, "its time was over"},
		{"sleeps", module(1, "", fine, sleepy), 504, "its time was over"},
		{"sleeps for ever", module(1, "", fine, forever(sleepy)), 504, "its time was over"},
		{"allocates", module(1, "", fine, forever(enlarge)), 500, "unreachable"},
		{"begins with too much", module(65, "", fine, write), 500, "memory"},
		{"grows tables", module(1, "", fine, tables), 500, "cannot be loaded"},
		{"traps", module(1, "", fine, trap), 500, "unreachable"},
		{"exits", module(1, "Content-Type: text/plain\n\nhello", fine, append(bytes.Clone(write), exit3...)), 500, "exit code 3"},
		{"writes without end", module(1, "Content-Type: text/plain\n\n"+strings.Repeat("x", 60000), fine, forever(write)), 500, "its answer is too long"},
		{"writes garbage", module(1, "\x00\x01\x02 no header", fine, write), 500, "does not begin with headers"},
		{"writes nothing", module(1, "", fine, fine), 500, "does not begin with headers"},
		{"has no status", module(1, "Status: 99\n\n", fine, write), 500, `its status \"99\" is none`},
		{"is none", []byte("no module"), 500, "invalid magic number"},
		{"is empty", nil, 500, "invalid magic number"},
		{"is cut", greeting("hello")[:100], 500, "cannot be loaded"},
		{"does not prepare itself", module(1, "", exit3, write), 500, "init: exit code 3"},
		{"prepares itself for ever", module(1, "", forever(fine), write), 500, "init: its time was over"},
	} {
		t.Run(c.name, func(t *testing.T) {
			name := strings.ReplaceAll(c.name, " ", "-") + ".wasm"
			p.put(name, c.code)
			var beside sync.WaitGroup
			beside.Go(func() {
				if code, body := p.get("good.wasm"); code != 200 || body != "hello" {
					t.Errorf("beside it: %d %q", code, body)
				}
			})
			code, body := p.get(name)
			beside.Wait()
			if code != c.want || !strings.Contains(p.log.String(), c.log) {
				t.Errorf("%d %q, not %d; the log, which should have %q:\n%s", code, body, c.want, c.log, p.log)
			}
		})
	}
	for _, s := range p.servlets.Status() {
		if s.Name == "good.wasm" && (s.Err != nil || s.Failed != 0 || s.Loaded.IsZero()) || s.Name != "good.wasm" && s.Failed != 1 {
			t.Errorf("status %+v", s)
		}
	}
	if running, most := p.servlets.Running(); running != 0 || most != 8 {
		t.Errorf("%d of %d are running", running, most)
	}
}

// TestReplaced: Outcome 10: a file is replaced 20 times under load, also by what cannot be loaded. No request fails, each answer is that
// of one version, and the newest good one is seen.
func TestReplaced(t *testing.T) {
	p := open(t, Options{})
	answer := func(version int) string { return strings.Repeat(fmt.Sprintf("version %2d,", version), 1000) }
	p.put("a.wasm", greeting(answer(0)))
	var version, asked atomic.Int64
	ctx, stop := context.WithCancel(t.Context())
	var load sync.WaitGroup
	for range 4 {
		load.Go(func() {
			for ctx.Err() == nil {
				code, body := p.get("a.wasm")
				got := -1
				_, _ = fmt.Sscanf(body, "version %d,", &got)
				if code != 200 || got < 0 || int64(got) > version.Load() || body != answer(got) {
					t.Errorf("%d %.40q while there was version %d", code, body, version.Load())
					return
				}
				asked.Add(1)
			}
		})
	}
	for i := 1; i <= 20; i++ {
		version.Store(int64(i))
		p.put("a.wasm", greeting(answer(i)))
		p.sees("a.wasm", answer(i))
		if i%5 == 0 {
			p.put("a.wasm", []byte("broken"))
			p.until("the error", func() bool {
				p.get("a.wasm")
				return p.servlets.Status()[0].Err != nil
			})
		}
	}
	stop()
	load.Wait()
	if asked.Load() < 20 {
		t.Errorf("only %d requests", asked.Load())
	}
	if code, body := p.get("a.wasm"); code != 200 || body != answer(20) {
		t.Errorf("the last good version is not kept: %d %.40q", code, body)
	}

	p.put("a.wasm", greeting("mended"))
	p.sees("a.wasm", "mended")
	if err := p.servlets.Status()[0].Err; err != nil {
		t.Errorf("status of what is mended: %v", err)
	}
	if err := os.Remove(filepath.Join(p.folder, "a.wasm")); err != nil {
		t.Fatal(err)
	}
	if code, _ := p.get("a.wasm"); code != 404 || len(p.servlets.Status()) != 0 {
		t.Errorf("what is removed is answered with %d; status %v", code, p.servlets.Status())
	}
}

// sees waits until a servlet answers with a text.
func (p *place) sees(name, want string) {
	p.t.Helper()
	p.until(fmt.Sprintf("%.40q", want), func() bool {
		_, body := p.get(name)
		return body == want
	})
}

func (p *place) until(what string, ask func() bool) {
	p.t.Helper()
	for end := time.Now().Add(time.Minute); !ask(); {
		if time.Now().After(end) {
			p.t.Fatalf("not within a minute: %s; the log:\n%s", what, p.log)
		}
	}
}

// TestOverwritten: a file that is written where it is, to the same size and within a tick of the clock, is seen as well.
func TestOverwritten(t *testing.T) {
	p := open(t, Options{})
	file := filepath.Join(p.folder, "a.wasm")
	long := time.Now().Add(-time.Hour)
	for _, text := range []string{"one", "two"} {
		if err := os.WriteFile(file, greeting(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(file, long, long.Add(time.Duration(len(text)))); err != nil {
			t.Fatal(err)
		}
		if text == "two" {
			p.servlets.mu.Lock()
			p.servlets.byName["a.wasm"].settled = false // as if it was read in the tick of its change
			p.servlets.mu.Unlock()
		}
		p.sees("a.wasm", text)
	}
}

// TestBusy: there are no more instances at once than there may be, a client that goes waits no longer, and the time of a
// request begins with its instance.
func TestBusy(t *testing.T) {
	p := open(t, Options{Most: 1, Limit: time.Second})
	p.put("good.wasm", greeting("hello"))
	p.put("loops.wasm", module(1, "", fine, forever(fine)))
	p.sees("good.wasm", "hello")
	var looping sync.WaitGroup
	looping.Go(func() {
		if code, _ := p.get("loops.wasm"); code != 504 {
			t.Errorf("what loops is answered with %d", code)
		}
	})
	p.until("an instance that loops", func() bool {
		return len(p.servlets.Status()) == 2 && p.servlets.Status()[1].Requests == 1 && len(p.servlets.slots) == 1
	})

	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, "GET", p.url+"/good.wasm", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err = http.DefaultClient.Do(request); err == nil {
		t.Error("two instances at once")
	}
	if code, body := p.get("good.wasm"); code != 200 || body != "hello" {
		t.Errorf("who waited got %d %q", code, body)
	}
	looping.Wait()
}

// TestBody: the body of a request is bounded, and comes before there is an instance.
func TestBody(t *testing.T) {
	p := open(t, Options{Most: 1, BodyMax: 1000})
	p.put("good.wasm", greeting("hello"))
	p.put("reads.wasm", module(1, "Content-Type: text/plain\n\nhello", fine, append(bytes.Clone(read), write...)))
	response, err := http.Post(p.url+"/reads.wasm", "text/plain", io.LimitReader(zeros{}, 1001))
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("a body that is too long: %s", response.Status)
	}

	slow, feed := io.Pipe()
	var posted sync.WaitGroup
	posted.Go(func() {
		response, err := http.Post(p.url+"/reads.wasm", "text/plain", slow)
		if err != nil {
			t.Error(err)
			return
		}
		defer response.Body.Close()
		if response.StatusCode != 200 {
			t.Errorf("a slow body: %s", response.Status)
		}
	})
	_, _ = feed.Write([]byte("begins"))
	p.sees("good.wasm", "hello") // although there is only one slot
	feed.Close()
	posted.Wait()
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// TestVariables: what a servlet is told of a request, and what not.
func TestVariables(t *testing.T) {
	r := httptest.NewRequest("POST", "http://site:81/a/b.wasm/rest%20of?x=1&y", nil)
	r.Header.Set("Content-Type", "text/plain")
	r.Header.Add("X-Two", "1")
	r.Header.Add("X-Two", "2")
	r.Header.Set("X_Two", "forged")
	r.Header.Set("Proxy", "http://evil")
	got := map[string]string{}
	for _, pair := range variables(r, "a/b.wasm", 5) {
		if _, twice := got[pair[0]]; twice {
			t.Errorf("%s is there twice", pair[0])
		}
		got[pair[0]] = pair[1]
	}
	for key, want := range map[string]string{
		"SCRIPT_NAME": "/a/b.wasm", "PATH_INFO": "/rest of", "QUERY_STRING": "x=1&y", "REQUEST_METHOD": "POST", "CONTENT_LENGTH": "5",
		"REQUEST_URI": "/a/b.wasm/rest%20of?x=1&y", "HTTP_HOST": "site:81", "SERVER_NAME": "site", "HTTP_X_TWO": "1, 2", "HTTP_PROXY": "",
		"CONTENT_TYPE": "text/plain", "REMOTE_ADDR": "192.0.2.1",
	} {
		if got[key] != want {
			t.Errorf("%s is %q, not %q", key, got[key], want)
		}
	}
}

// TestParse: what servlets may write.
func TestParse(t *testing.T) {
	for _, c := range []struct {
		out, body string
		code      int
	}{
		{"Content-Type: text/plain\n\nbody", "body", 200},
		{"Status: 404 Not Found\r\nContent-Type: text/plain\r\n\r\nbody\r\n\r\n", "body\r\n\r\n", 404},
		{"Location: /there\n\n", "", 302},
		{"Status: 204\n\n", "", 204},
	} {
		a, err := parse([]byte(c.out))
		if err != nil || a.code != c.code || string(a.body) != c.body {
			t.Errorf("%q is %+v, %v", c.out, a, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("Status: 200 OK\r\nConnection: close\r\nContent-Type: text/plain\r\n\r\nbody"))
	f.Add([]byte("Location: /\n\n"))
	f.Fuzz(func(t *testing.T, out []byte) {
		a, err := parse(out)
		if err != nil {
			return
		}
		if a.code < 200 || a.code > 999 || len(a.body) > len(out) || !bytes.HasSuffix(out, a.body) {
			t.Fatalf("%q is %+v", out, a)
		}
		for _, key := range hop {
			if a.header.Get(key) != "" {
				t.Fatalf("%q leaves %s", out, key)
			}
		}
		w := httptest.NewRecorder()
		a.send(w, httptest.NewRequest("GET", "/", nil))
	})
}
