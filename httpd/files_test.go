package httpd

import (
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"
)

// long ago is a time at which no file of a test changes.
var longAgo = time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC)

// www makes a folder with files that changed long ago, and returns what serves it.
func www(t *testing.T, files map[string]string) (dir string, f *Files) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "www")
	for name, content := range files {
		put(t, filepath.Join(dir, name), content, longAgo)
	}
	f, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return dir, f
}

func put(t *testing.T, file, content string, changed time.Time) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(file, changed, changed); err != nil {
		t.Fatal(err)
	}
}

// ask asks a handler, with headers such as "Range: bytes=1-2".
func ask(h http.Handler, method, target string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, nil)
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		r.Header.Add(name, value)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// TestPaths has what each path is answered with.
func TestPaths(t *testing.T) {
	dir, f := www(t, map[string]string{
		"index.html": "home", "a b.txt": "blank", "sub/index.html": "sub", "sub/x.css": "css", "empty/y": "y",
		".secret": "no", ".git/config": "no", ".well-known/acme": "yes", "..odd": "no", "none": "", "dir.html/z": "z",
	})
	outside := filepath.Join(filepath.Dir(dir), "outside")
	put(t, outside, "outside", longAgo)
	for link, to := range map[string]string{
		"out": outside, "up": "../outside", "etc": "/etc", "in": "sub/x.css", "folder": "sub", "loop": "loop",
	} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Skipf("there are no symbolic links here: %v", err)
		}
	}

	for _, c := range []struct {
		target string
		code   int
		want   string // of the body, or where it leads to
	}{
		{"/", 200, "home"}, {"/index.html", 200, "home"}, {"/a%20b.txt", 200, "blank"}, {"/none", 200, ""},
		{"/sub", 301, "/sub/"}, {"/sub?a=1&b", 301, "/sub/?a=1&b"}, {"/sub/", 200, "sub"}, {"/sub/x.css", 200, "css"},
		{"/folder", 301, "/folder/"}, {"/folder/", 200, "sub"}, {"/in", 200, "css"}, {"/.well-known/acme", 200, "yes"},
		{"//sub//x.css", 301, "/sub/x.css"}, {"/sub/./", 301, "/sub/"}, {"//evil.example", 301, "/evil.example"},
		{"/empty/", 403, ""}, {"/sub/x.css/", 404, ""}, {"/missing", 404, ""}, {"/none/more", 404, ""}, {"/dir.html/", 403, ""},
		{"/.secret", 404, ""}, {"/.git/config", 404, ""}, {"/sub/.well-known/x", 404, ""}, {"/..odd", 404, ""},
		{"/..", 404, ""}, {"/../outside", 404, ""}, {"/%2e%2e/outside", 404, ""}, {"/sub/../../outside", 404, ""},
		{"/..%2foutside", 404, ""}, {"/sub%2Fx.css", 404, ""}, {"/..%5coutside", 400, ""}, {"/x%00", 400, ""}, {"/x%0a", 400, ""},
		{"/out", 404, ""}, {"/up", 404, ""}, {"/etc/passwd", 404, ""}, {"/loop", 404, ""},
		{"/" + strings.Repeat("x", 300), 404, ""}, {"/" + strings.Repeat("x/", 3000), 404, ""},
	} {
		w := ask(f, "GET", c.target)
		got := w.Body.String()
		if w.Code == 301 {
			got = w.Header().Get("Location")
		}
		if w.Code != c.code || c.want != "" && got != c.want || strings.Contains(got, "outside") && c.code != 301 {
			t.Errorf("%.60s: %d %q, want %d %q", c.target, w.Code, got, c.code, c.want)
		}
	}
	for _, method := range []string{"POST", "DELETE", "OPTIONS", "BREW"} {
		if w := ask(f, method, "/"); w.Code != 405 || w.Header().Get("Allow") != "GET, HEAD" {
			t.Errorf("%s: %d %v", method, w.Code, w.Header())
		}
	}
}

// TestConditions: Defect 13: clients get only what they lack.
func TestConditions(t *testing.T) {
	large := strings.Repeat("0123456789", 10_000)
	_, f := www(t, map[string]string{"small.txt": "0123456789", "large.txt": large})
	for file, content := range map[string]string{"/small.txt": "0123456789", "/large.txt": large} {
		for range 2 { // the second answer comes out of memory, if it is small
			w := ask(f, "GET", file)
			tag, changed := w.Header().Get("Etag"), w.Header().Get("Last-Modified")
			if w.Body.String() != content || changed != longAgo.Format(http.TimeFormat) || len(tag) < 4 || tag[0] != '"' ||
				w.Header().Get("Content-Type") != "text/plain; charset=utf-8" || w.Header().Get("X-Content-Type-Options") != "nosniff" {
				t.Errorf("%s: %v", file, w.Header())
			}
			for _, c := range []struct {
				header string
				code   int
				body   string
			}{
				{"If-None-Match: " + tag, 304, ""},
				{`If-None-Match: "other"`, 200, content},
				{"If-Modified-Since: " + changed, 304, ""},
				{"If-Modified-Since: " + longAgo.Add(-time.Second).Format(http.TimeFormat), 200, content},
				{`If-Match: "other"`, 412, ""},
				{"Range: bytes=2-4", 206, "234"},
				{"Range: bytes=-3", 206, "789"},
				{fmt.Sprintf("Range: bytes=%d-", len(content)), 416, ""},
			} {
				w := ask(f, "GET", file, c.header)
				if w.Code != c.code || c.code < 400 && w.Body.String() != c.body {
					t.Errorf("%s with %s: %d %.20q", file, c.header, w.Code, w.Body)
				}
			}
			if w := ask(f, "GET", file, "Range: bytes=2-4", `If-Range: "other"`); w.Code != 200 {
				t.Errorf("%s with a range of another version: %d", file, w.Code)
			}
			if w := ask(f, "HEAD", file); w.Code != 200 || w.Body.Len() > 0 || w.Header().Get("Content-Length") != fmt.Sprint(len(content)) {
				t.Errorf("HEAD %s: %d %v", file, w.Code, w.Header())
			}
		}
	}
}

// TestCodings: who understands it gets what was compressed beforehand.
func TestCodings(t *testing.T) {
	_, f := www(t, map[string]string{"a.js": "plain", "a.js.gz": "gz", "a.js.br": "br", "b.js": "plain", "c.js.gz": "gz"})
	for _, c := range []struct{ target, accept, coding, body string }{
		{"/a.js", "", "", "plain"},
		{"/a.js", "gzip", "gzip", "gz"},
		{"/a.js", "gzip, deflate, br, zstd", "br", "br"},
		{"/a.js", "br;q=0.5, gzip;q=1.0", "gzip", "gz"},
		{"/a.js", "br;q=0, *", "gzip", "gz"},
		{"/a.js", "*;q=0.1", "br", "br"},
		{"/a.js", "identity, gzip;q=0", "", "plain"},
		{"/a.js", "GZIP ; Q=0.3", "gzip", "gz"},
		{"/a.js", "gzip;q=x, br;q=7", "", "plain"},
		{"/b.js", "gzip, br", "", "plain"},
		{"/c.js", "gzip", "", ""},
	} {
		w := ask(f, "GET", c.target, "Accept-Encoding: "+c.accept)
		if w.Header().Get("Content-Encoding") != c.coding || c.body != "" && w.Body.String() != c.body || c.body == "" && w.Code != 404 {
			t.Errorf("%s for %q: %d %v %q", c.target, c.accept, w.Code, w.Header(), w.Body)
		}
		if w.Code == 200 && (w.Header().Get("Vary") != "Accept-Encoding" || !strings.Contains(w.Header().Get("Content-Type"), "javascript")) {
			t.Errorf("%s for %q: %v", c.target, c.accept, w.Header())
		}
	}
	plain, packed := ask(f, "GET", "/a.js"), ask(f, "GET", "/a.js", "Accept-Encoding: br")
	if plain.Header().Get("Etag") == packed.Header().Get("Etag") {
		t.Error("two contents have one tag")
	}
}

// TestEdits: what is answered is what is there, also if a file changes twice within a tick of the clock.
func TestEdits(t *testing.T) {
	dir, f := www(t, map[string]string{"page.html": "old", "folder/x": "x"})
	file := filepath.Join(dir, "page.html")
	want := func(code int, body string) {
		t.Helper()
		for range 2 {
			if w := ask(f, "GET", "/page.html"); w.Code != code || code == 200 && w.Body.String() != body {
				t.Errorf("%d %q, want %d %q", w.Code, w.Body, code, body)
			}
		}
	}
	want(200, "old")
	for i := range 20 {
		text := fmt.Sprint("now", i%10)
		put(t, file, text, time.Now())
		want(200, text)
	}
	put(t, filepath.Join(dir, "next"), "next", longAgo)
	if err := os.Rename(filepath.Join(dir, "next"), file); err != nil {
		t.Fatal(err)
	}
	want(200, "next")
	os.Remove(file)
	want(404, "")
	if err := os.Mkdir(file, 0o755); err != nil {
		t.Fatal(err)
	}
	want(301, "")
}

// TestSpecial: what is no file is not opened, for that might wait for ever.
func TestSpecial(t *testing.T) {
	dir, f := www(t, map[string]string{"x": "x"})
	pipe := makePipe(t, filepath.Join(dir, "pipe"))
	if pipe {
		if w := ask(f, "GET", "/pipe"); w.Code != 404 {
			t.Errorf("a pipe: %d", w.Code)
		}
	}
	if err := os.Chmod(filepath.Join(dir, "x"), 0); err != nil {
		t.Fatal(err)
	}
	if _, err := os.ReadFile(filepath.Join(dir, "x")); err == nil {
		t.Skip("this user may read everything")
	}
	if w := ask(f, "GET", "/x"); w.Code != 403 {
		t.Errorf("a file that may not be read: %d", w.Code)
	}
}

// TestCacheBound: memory is bounded, and what was asked for last stays.
func TestCacheBound(t *testing.T) {
	c := newCache(10 * (1000 + overhead + 2))
	info := func(name string) fs.FileInfo {
		fsys := fstest.MapFS{name: {Data: make([]byte, 1000), ModTime: longAgo}}
		i, err := fsys.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		return i
	}
	for i := range 100 {
		name := fmt.Sprintf("%02d", i)
		c.put(name, info(name), make([]byte, 1000), time.Now())
		if i > 0 && c.get("00", info("00")) == nil {
			t.Fatalf("what was asked for last has gone after %d", i)
		}
		if c.bytes > c.max || len(c.byName) != c.recent.Len() {
			t.Fatalf("%d bytes, %d and %d files", c.bytes, len(c.byName), c.recent.Len())
		}
	}
	if len(c.byName) != 10 || c.get("98", info("98")) == nil || c.get("50", info("50")) != nil {
		t.Errorf("%d files are kept", len(c.byName))
	}
	c.put("big", info("big"), make([]byte, 1<<20), time.Now())
	if c.get("big", info("big")) != nil {
		t.Error("a file that is not what it was is kept")
	}
}

// TestManyAtOnce has clients ask while files change: each answer is one version or the other.
func TestManyAtOnce(t *testing.T) {
	versions := []string{strings.Repeat("a", 5000), strings.Repeat("b", 5000)}
	dir, f := www(t, map[string]string{"page": versions[0]})
	server := httptest.NewServer(&Site{Files: f})
	defer server.Close()

	var asking sync.WaitGroup
	stop := make(chan struct{})
	for range 4 {
		asking.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				reply, err := http.Get(server.URL + "/page")
				if err != nil {
					t.Error(err)
					return
				}
				body, err := io.ReadAll(reply.Body)
				reply.Body.Close()
				if s := string(body); err != nil || s != versions[0] && s != versions[1] {
					t.Errorf("%d bytes, %v", len(body), err)
				}
			}
		})
	}
	for i := range 40 {
		next := filepath.Join(dir, ".next")
		put(t, next, versions[i%2], longAgo.Add(time.Duration(i)*time.Second))
		if err := os.Rename(next, filepath.Join(dir, "page")); err != nil {
			t.Error(err)
		}
		runtime.Gosched()
	}
	close(stop)
	asking.Wait()
}

// FuzzName: whatever a path is, what it names is below the folder, and has one spelling.
func FuzzName(f *testing.F) {
	for _, s := range []string{"/", "/a/b", "/../x", "/a//b/", "/%2e%2e/x", "/.x", "//h/x", "/a/./b", "/a%2fb", "/\\x", "/\xec"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := http.NewRequest("GET", s, nil)
		if err != nil || r.URL.Host != "" {
			return
		}
		name, code := nameOf(r.URL)
		switch code {
		case 200:
			if !fs.ValidPath(name) && name != "." {
				t.Errorf("%q names %q", s, name)
			}
		case 301:
			if !strings.HasPrefix(name, "/") || strings.HasPrefix(name, "//") {
				t.Errorf("%q leads to %q", s, name)
			}
		}
	})
}

// TestServlets: files whose names end with .wasm are answered by servlets, and so are paths below them; nothing that is not
// served as a file is.
func TestServlets(t *testing.T) {
	_, files := www(t, map[string]string{"a.wasm": "code", "b/c.WASM": "code", "d.txt": "text"})
	if w := ask(files, "GET", "/a.wasm"); w.Body.String() != "code" || w.Header().Get("Content-Type") != "application/wasm" {
		t.Errorf("without servlets: %q %v", w.Body, w.Header())
	}
	files.Servlets = func(_ *os.Root, name string) http.Handler { return text("servlet " + name) }
	for target, want := range map[string]string{
		"/a.wasm": "servlet a.wasm /a.wasm", "/a.wasm/x/y": "servlet a.wasm /a.wasm/x/y", "/b/c.WASM": "servlet b/c.WASM /b/c.WASM",
		"/d.txt": "text", "/.a.wasm": "Not Found\n", "/a.wasm%2fx": "Not Found\n", "/a.wasm/.x": "Not Found\n",
	} {
		if w := ask(files, "GET", target); w.Body.String() != want {
			t.Errorf("%s: %q, want %q", target, w.Body, want)
		}
	}
	if w := ask(files, "POST", "/a.wasm"); w.Code != 200 {
		t.Errorf("POST: %d", w.Code)
	}
}

// sender is a connection that is told what to send, as one of package net is.
type sender struct {
	*httptest.ResponseRecorder
	pieces []int64
}

func (s *sender) ReadFrom(r io.Reader) (int64, error) {
	limited, ok := r.(*io.LimitedReader)
	if _, isFile := limited.R.(*os.File); !ok || !isFile {
		return 0, fmt.Errorf("%T is no file behind one limit", r)
	}
	s.pieces = append(s.pieces, limited.N)
	return io.Copy(s.ResponseRecorder, r)
}

// TestKernelSends: what package net gets of a large file is such that the kernel sends it.
func TestKernelSends(t *testing.T) {
	_, files := www(t, map[string]string{"large": strings.Repeat("x", 5<<19)})
	s := &sender{ResponseRecorder: httptest.NewRecorder()}
	(&Site{Files: files}).ServeHTTP(s, httptest.NewRequest("GET", "/large", nil))
	if s.Body.Len() != 5<<19 || fmt.Sprint(s.pieces) != "[1048576 1048576 524288]" {
		t.Errorf("%d bytes, in pieces of %d", s.Body.Len(), s.pieces)
	}
}
