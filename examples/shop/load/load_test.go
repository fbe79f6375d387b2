package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/divisi-go/divisi"
	"github.com/divisi-go/divisi/examples/shop/frontend"
)

// asShop makes the test's binary a shop.
const asShop = "LOAD_TEST_AS_SHOP"

func TestMain(m *testing.M) {
	if os.Getenv(asShop) == "" {
		os.Exit(m.Run())
	}
	if err := divisi.Run(context.Background(), frontend.Serve); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

var pageAddress = regexp.MustCompile(`http://[0-9a-zA-Z.\[\]:]+:[0-9]+`)

// startShop starts a shop in a process of its own, and returns the address it prints.
func startShop(t *testing.T) string {
	t.Helper()
	shop := exec.CommandContext(t.Context(), os.Args[0])
	shop.Env = append(os.Environ(), asShop+"=1")
	shop.Cancel = func() error { return shop.Process.Signal(os.Interrupt) }
	shop.WaitDelay = 5 * time.Second
	output, write := io.Pipe()
	shop.Stdout, shop.Stderr = write, write
	if err := shop.Start(); err != nil {
		t.Fatal(err)
	}
	address := make(chan string, 1)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		lines := bufio.NewScanner(output)
		for lines.Scan() {
			if at := pageAddress.FindString(lines.Text()); at != "" {
				select {
				case address <- at:
				default:
				}
			}
		}
	}()
	t.Cleanup(func() {
		shop.Wait() // its end was asked for: how it ends is not tested here
		write.Close()
		<-ended
	})
	select {
	case at := <-address:
		return at
	case <-time.After(20 * time.Second):
		t.Fatal("the shop does not print its address")
		return ""
	}
}

// TestShop visits a real shop.
func TestShop(t *testing.T) {
	at := startShop(t)

	t.Run("load", func(t *testing.T) {
		failures := filepath.Join(t.TempDir(), "errors.ndjson")
		var out, errs strings.Builder
		err := run(t.Context(), []string{"-url", at, "-requests", "400", "-users", "6", "-errors", failures, "-o", "json"}, &out, &errs)
		if err != nil {
			t.Fatalf("%v\n%s%s", err, out.String(), errs.String())
		}
		var r report
		if err := json.Unmarshal([]byte(out.String()), &r); err != nil {
			t.Fatal(err)
		}
		if r.Requests != 400 || r.Errors != 0 || r.P50 <= 0 || r.Max < r.P99 {
			t.Errorf("report %+v", r)
		}
		pages := map[string]bool{}
		for _, p := range r.Pages {
			pages[p.Page] = true
		}
		for _, page := range []string{"home", "product", "cart", "cart-add", "cart-change", "checkout", "order", "asset", "search", "unknown", "category", "about"} {
			if !pages[page] {
				t.Errorf("nobody asked for the page %s: %v", page, pages)
			}
		}
		if written, err := os.ReadFile(failures); err != nil || len(written) != 0 {
			t.Errorf("failures %q (%v)", written, err)
		}
	})

	t.Run("journey", func(t *testing.T) {
		var seen []string
		for range 2 {
			var out, errs strings.Builder
			if err := run(t.Context(), []string{"-url", at, "-journey", "journey.txt"}, &out, &errs); err != nil {
				t.Fatalf("%v\n%s", err, errs.String())
			}
			seen = append(seen, out.String())
		}
		if seen[0] != seen[1] {
			t.Error("the second journey has seen something else than the first")
		}
		for _, want := range []string{"=== user journey-0002", "Thank you, Clara Load", "The bank refuses this card.", "sha256 "} {
			if !strings.Contains(seen[0], want) {
				t.Errorf("the journey has not seen %q", want)
			}
		}
		if strings.Contains(seen[0], "replica") && servedMark.MatchString(seen[0]) {
			t.Error("the journey tells who served it")
		}
	})

	t.Run("wrong journey", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "journey.txt")
		if err := os.WriteFile(file, []byte("user somebody-1\n404 GET /\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		var out, errs strings.Builder
		err := run(t.Context(), []string{"-url", at, "-journey", file}, &out, &errs)
		if !errors.Is(err, errFailed) || !strings.Contains(errs.String(), "line 2 of the journey, GET /: status 200, want 404") {
			t.Errorf("%v\n%s", err, errs.String())
		}
	})
}

// TestWrongShop visits a server that has only one page: everything is found out.
func TestWrongShop(t *testing.T) {
	body := `<body data-page="home"><li data-product="violin"></html>`
	s := serve(t, func(c net.Conn, next func() *http.Request) {
		for next() != nil {
			fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
		}
	})
	failures := filepath.Join(t.TempDir(), "errors.ndjson")
	var out bytes.Buffer
	err := run(t.Context(), []string{"-url", "http://" + s.listener.Addr().String(), "-requests", "60", "-users", "4", "-errors", failures, "-o", "json"}, &out, io.Discard)
	var r report
	if !errors.Is(err, errFailed) || json.Unmarshal(out.Bytes(), &r) != nil || r.Requests != 60 || r.Errors == 0 {
		t.Fatalf("%v: %s", err, out.String())
	}
	if got := s.requests.Load(); got != 60 {
		t.Errorf("%d requests were sent, want 60", got)
	}
	for _, k := range r.Kinds {
		if k.Kind != kindPage && k.Kind != "status 200" {
			t.Errorf("kind %q: %+v", k.Kind, k.First)
		}
	}
	file, err := os.ReadFile(failures)
	if err != nil || int64(bytes.Count(file, []byte("\n"))) != r.Errors {
		t.Errorf("%d lines of failures (%v), want %d", bytes.Count(file, []byte("\n")), err, r.Errors)
	}
}

func TestTimeIsUp(t *testing.T) {
	s := serve(t, func(c net.Conn, next func() *http.Request) {
		for next() != nil {
			fmt.Fprint(c, ok)
		}
	})
	var out strings.Builder
	err := run(t.Context(), []string{"-url", "http://" + s.listener.Addr().String(), "-duration", "100ms", "-users", "2"}, &out, io.Discard)
	if !errors.Is(err, errFailed) || !strings.Contains(out.String(), "by 2 users") {
		t.Errorf("%v\n%s", err, out.String())
	}
}

func TestUsage(t *testing.T) {
	for _, args := range [][]string{
		{"-url", "http://example.com"}, {"-o", "xml"}, {"-users", "0"}, {"-users", "100000"}, {"-duration", "0s"},
		{"-duration", "100h"}, {"-requests", "-1"}, {"-timeout", "0s"}, {"extra"}, {"-unknown"},
		{"-journey", "/nonexistent/journey.txt"},
	} {
		if err := run(t.Context(), args, io.Discard, io.Discard); err == nil || errors.Is(err, errFailed) {
			t.Errorf("%v: error %v", args, err)
		}
	}
	var usage strings.Builder
	if err := run(t.Context(), []string{"-h"}, io.Discard, &usage); !errors.Is(err, flag.ErrHelp) || !strings.Contains(usage.String(), "-journey") {
		t.Errorf("error %v:\n%s", err, usage.String())
	}
}

func TestParseJourney(t *testing.T) {
	steps, err := parseJourney("j", []byte("# a comment\n\nuser clara-0001\n200 GET /\n  303 POST /cart a=b&c=%20d  \n"))
	if err != nil || len(steps) != 3 || steps[0].user != "clara-0001" || steps[1].status != 200 || steps[1].line != 4 ||
		steps[2].method != "POST" || steps[2].form.Get("c") != " d" {
		t.Errorf("steps %+v (%v)", steps, err)
	}
	for text, want := range map[string]string{
		"":                           "begins with a line",
		"200 GET /":                  "begins with a line",
		"user a\n\nGET /":            "j:3:",
		"user a\nyes GET /":          `"yes" is not a status`,
		"user a\n200 PUT /":          "knows GET and POST",
		"user a\n200 GET x":          "does not begin with /",
		"user a\n200 POST / %zz":     "cannot read the form",
		"user a\n200 POST / a=b c=d": "is neither",
	} {
		if _, err := parseJourney("j", []byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %q", text, err, want)
		}
	}
}

func FuzzParseJourney(f *testing.F) {
	f.Add([]byte("user clara-0001\n200 GET /\n303 POST /cart a=b\n"))
	f.Add([]byte("#\n\nuser"))
	f.Add([]byte("user x\n1 GET"))
	f.Fuzz(func(t *testing.T, text []byte) {
		steps, err := parseJourney("j", text)
		if err == nil && (len(steps) == 0 || steps[0].user == "") {
			t.Errorf("%d steps without a user", len(steps))
		}
		for _, s := range steps {
			if s.user == "" && (s.path == "" || s.path[0] != '/') {
				t.Errorf("step %+v", s)
			}
		}
	})
}

func TestNormalise(t *testing.T) {
	page := "a\n<section id=\"served\" x>\nwho\n</section>\n<p><code id=\"request\">XYZ</code>\n"
	got := normalise(&answer{header: http.Header{"Content-Type": {"text/html"}}, body: []byte(page)})
	if want := "a\n<p><code id=\"request\"></code>\n"; string(got) != want {
		t.Errorf("%q, want %q", got, want)
	}
	got = normalise(&answer{header: http.Header{"Content-Type": {"image/png"}}, body: []byte("x")})
	if !strings.HasPrefix(string(got), "1 bytes, sha256 2d711642") {
		t.Errorf("%q", got)
	}
}
