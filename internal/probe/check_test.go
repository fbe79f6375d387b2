package probe

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// check checks a probe, and fails unless the error has the words; "" is for none.
func check(t *testing.T, text string, target Target, words ...string) {
	t.Helper()
	p, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	err = p.Check(t.Context(), target)
	if len(words) == 0 && err != nil {
		t.Error(err)
	}
	for _, word := range words {
		if err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("%s: the error is %v, and lacks %q", text, err, word)
		}
	}
}

func listen(t *testing.T, network, address string) (net.Listener, Address) {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { l.Close() })

	return l, Address{network, l.Addr().String()}
}

func TestPort(t *testing.T) {
	for host, address := range map[string]Address{
		"127.0.0.1": {"tcp", "127.0.0.1:0"},
		"localhost": {"tcp", ":0"},
		"[::1]":     {"tcp", "[::1]:0"},
		"[::]":      {"tcp6", "[::]:0"},
		"":          {"unix", filepath.Join(t.TempDir(), "s")},
	} {
		t.Run(host, func(t *testing.T) {
			l, at := listen(t, address.Network, address.Address)
			first, firstAt := listen(t, "tcp", "127.0.0.1:0")
			defer first.Close()
			target := Target{Listeners: []Address{firstAt, at}}
			check(t, "port", target)
			if host != "" {
				_, port, _ := net.SplitHostPort(at.Address)
				check(t, "port:"+port, Target{})
				check(t, "port:"+host+":"+port, Target{})
			}

			l.Close()
			check(t, "port", target, "port: dial "+at.Network, at.Address)
		})
	}

	check(t, "port", Target{}, "port: the server has no listener: name the host and the port")
	l, at := listen(t, "tcp", "127.0.0.1:0")
	l.Close()
	_, port, _ := net.SplitHostPort(at.Address)
	check(t, "port:"+port, Target{}, "port:"+port+": dial tcp 127.0.0.1:"+port, "dial tcp [::1]:"+port)
}

func TestHTTP(t *testing.T) {
	handler := http.NewServeMux()
	status := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
	}
	handler.HandleFunc("/ok", status(204))
	handler.HandleFunc("/bad", status(503))
	handler.Handle("/away", http.RedirectHandler("/bad", http.StatusFound))
	handler.HandleFunc("/hang", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })

	for name, address := range map[string]Address{
		"tcp":  {"tcp", "127.0.0.1:0"},
		"tcp6": {"tcp", "[::1]:0"},
		"unix": {"unix", filepath.Join(t.TempDir(), "s")},
	} {
		t.Run(name, func(t *testing.T) {
			l, at := listen(t, address.Network, address.Address)
			server := &httptest.Server{Listener: l, Config: &http.Server{Handler: handler}}
			server.Start()
			defer server.Close()
			target := Target{Listeners: []Address{at}}
			check(t, "http:/ok", target)
			check(t, "http:/away?x=1", target)
			check(t, "http:/bad", target, "http:/bad: the answer is 503 Service Unavailable")
			check(t, "http:/none", target, "404")
			if name != "unix" {
				check(t, "http://"+at.Address+"/ok", Target{})
			}

			ctx, cancel := context.WithTimeoutCause(t.Context(), 20*time.Millisecond, nil)
			defer cancel()
			p, err := Parse("http:/hang")
			if err != nil {
				t.Fatal(err)
			}
			if err := p.Check(ctx, target); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("a server that does not answer: %v", err)
			}
		})
	}

	secure := httptest.NewTLSServer(handler)
	defer secure.Close()
	check(t, secure.URL+"/ok", Target{})
	check(t, "http:/ok", Target{}, "the server has no listener")
	l, at := listen(t, "tcp", "127.0.0.1:0")
	l.Close()
	check(t, "http:/ok", Target{Listeners: []Address{at}}, "http:/ok: dial tcp "+at.Address)
}

func TestFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "ready")
	check(t, "file:ready", Target{Dir: dir}, "file:ready: ", path, fs.ErrNotExist.Error()[:4])

	started := time.Now()
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	check(t, "file:ready", Target{Dir: dir, Since: started})
	check(t, "file:"+path, Target{Dir: "/nowhere"})

	// One that an earlier start has left says nothing of this one.
	if err := os.Chtimes(path, time.Time{}, started.Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}
	check(t, "file:ready", Target{Dir: dir, Since: started}, path+" is older than the server")
	check(t, "file:ready", Target{Dir: dir})
}

func TestExec(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("there is no shell")
	}
	dir := t.TempDir()
	target := Target{Dir: dir, Env: []string{"WORD=x y"}}
	check(t, `exec:test "$WORD" = "x y" && test -z "$HOME" && test "$(pwd -P)" = "$(cd `+dir+` && pwd -P)"`, target)
	check(t, "exec:echo not yet >&2; exit 3", target, "exec:echo not yet >&2; exit 3: exit status 3: ", `"not yet"`)
	check(t, "exec:false", target, "exec:false: exit status 1")
	check(t, "exec:/nowhere/at-all", target, "exit status 127", "/nowhere/at-all")
	check(t, "exec:head -c 100000 /dev/zero; exit 1", target, "exit status 1")
	check(t, "exec:true", Target{Dir: "/nowhere"}, "/nowhere")
	check(t, "exec:sleep 0.4 & exit 0", target) // what it leaves behind is not waited for

	p, err := Parse("exec:echo waiting; sleep 1000 & sleep 1000")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := p.Check(ctx, target); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a command that does not end: %v", err)
	}
}

func TestTold(t *testing.T) {
	check(t, "notify", Target{}, "notify: nobody can ask for that")
	check(t, "log:x", Target{}, "log:x: nobody can ask for that")
	if err := (Probe{}).Check(t.Context(), Target{}); err != nil {
		t.Error(err)
	}
}
