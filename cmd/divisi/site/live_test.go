package site

import (
	"context"
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

	"github.com/spf13/pflag"

	"github.com/divisi-go/divisi/internal/whole"
)

// said returns a command line.
func said(t *testing.T, args ...string) command {
	t.Helper()
	c := command{said: defaults(), flags: pflag.NewFlagSet("httpd", pflag.ContinueOnError), server: "web-0@/test"}
	c.said.define(c.flags)
	if err := c.flags.Parse(args); err != nil {
		t.Fatal(err)
	}
	return c
}

// TestOptions: a flag has the last word, and of what may be repeated about its name.
func TestOptions(t *testing.T) {
	const text = "root = 'site'\nbody-max = 7\nhandler-timeout = '3s'\n[handler]\n'/a' = 'http://localhost:1'\n'/b' = 'http://localhost:2'\n"
	o, err := said(t, "--body-max", "9", "--handler", "/b=http://localhost:3").read("httpd.toml", text)
	if err != nil || o.Root != "site" || o.BodyMax != 9 || o.HandlerTimeout != 3*time.Second || o.Name != "web-0@/test" || o.Patience != 30*time.Second ||
		len(o.Handler) != 2 || o.Handler["/b"] != "http://localhost:3" {
		t.Errorf("%+v, %v", o, err)
	}

	const wrong = "rot = 'www'\nbody-max = 0\npatience = 30\nservlets = 'yes'\ntls-key = 'key'\n[handler]\n'a' = 'http://localhost:1'\n'/b' = 'localhost'\n"
	_, err = said(t).read("httpd.toml", wrong)
	for _, want := range []string{
		`httpd.toml:1:1: unknown key rot: did you mean "root"?`, "httpd.toml:2:1: it has to be more than 0", `httpd.toml:3:1: it is 30ns: write a duration`,
		"httpd.toml:4:12: servlets cannot be a string: write true or false", "httpd.toml:5:1: tls-cert and tls-key belong together",
		`httpd.toml:7:1: "a" is no path of a program`, `httpd.toml:8:1: "localhost" is no address of a program`,
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s is not in\n%v", want, err)
		}
	}
	if _, err := said(t, "--body-max", "0", "--handler", "/b=x").read("httpd.toml", "body-max = 1"); err == nil || !strings.HasPrefix(err.Error(), "--body-max: it has to be") {
		t.Error(err)
	}
}

// TestFollow: what a file says is so from the next request on, whatever is asked meanwhile; what means nothing changes nothing.
func TestFollow(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", filepath.Join(t.TempDir(), "cache"))
	dir := t.TempDir()
	for _, root := range []string{"a", "b"} {
		if err := os.Mkdir(filepath.Join(dir, root), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, root, "index.html"), []byte(root), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(dir, "httpd.toml")
	write := func(text string) {
		t.Helper()
		if err := whole.Write(file, []byte(strings.ReplaceAll(text, "DIR", dir)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("root = 'DIR/a'\naccess-log = 'none'\n")
	c := said(t)
	o, err := c.begin(t.Context(), file)
	if err != nil {
		t.Fatal(err)
	}
	l := &live{command: c, file: file, out: io.Discard, log: slog.New(slog.DiscardHandler)}
	first, err := l.generation(o, nil)
	if err != nil {
		t.Fatal(err)
	}
	l.current.Store(first)
	ctx, cancel := context.WithCancel(t.Context())
	followed := make(chan error)
	go func() { followed <- l.follow(ctx) }()
	server, page := httptest.NewServer(l), httptest.NewServer(l.page(first.site, time.Now()))
	defer server.Close()
	defer page.Close()
	get := func(url string) string {
		response, err := http.Get(url)
		if err != nil {
			t.Error(err)
			return ""
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		if err != nil {
			t.Error(err)
		}
		return string(body)
	}
	until := func(url, want string) {
		t.Helper()
		for end := time.Now().Add(time.Minute); !strings.Contains(get(url), want); {
			if time.Now().After(end) {
				t.Fatalf("%s has no %q but %s", url, want, get(url))
			}
		}
	}

	var load sync.WaitGroup
	var over, asked atomic.Int64
	for range 2 {
		load.Go(func() {
			for over.Load() == 0 {
				if got := get(server.URL + "/"); got != "a" && got != "b" {
					t.Errorf("the answer is %q", got)
				}
				asked.Add(1)
			}
		})
	}
	write("root = 'DIR/b'\naccess-log = 'DIR/log'\nservlets = true\n")
	until(server.URL+"/", "b")
	until(page.URL+"/", "instances")
	for text, why := range map[string]string{
		"rot = 'DIR/a'\n": "did you mean", "root = 'DIR/none'\n": "cannot serve the folder", "root = 'DIR/b'\naccess-log = 'DIR/log'\nservlets = true\nlisten = ':1'\n": "a restart is wanted by listen",
	} {
		write(text)
		until(page.URL+"/", why)
		until(server.URL+"/", "b")
	}
	write("root = 'DIR/a'\naccess-log = 'DIR/log'\nservlets = true\n")
	until(server.URL+"/", "a")
	over.Store(1)
	load.Wait()
	server.Close() // no request is inside any more
	if text := get(page.URL + "/"); strings.Contains(text, "refused") || strings.Contains(text, "wanted") {
		t.Errorf("it is not well again: %s", text)
	}
	if first.users.Load() != 0 || l.current.Load().users.Load() != 1 {
		t.Errorf("the first generation has %d users, the last one %d", first.users.Load(), l.current.Load().users.Load())
	}

	cancel()
	if err := <-followed; err != nil {
		t.Error(err)
	}
	l.leave(l.current.Load())
	if text, err := os.ReadFile(filepath.Join(dir, "log")); err != nil || l.requests < asked.Load() || !strings.Contains(string(text), "GET / HTTP/1.1") {
		t.Errorf("%d requests of %d and more are known, %v", l.requests, asked.Load(), err)
	}
}
