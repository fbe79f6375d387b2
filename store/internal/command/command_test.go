package command_test

import (
	"bytes"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"

	"github.com/divisi-go/divisi/store"
	"github.com/divisi-go/divisi/store/internal/command"
)

// said does what a line says, and returns what it prints, and its error.
func said(t *testing.T, line, stdin string) string {
	t.Helper()
	var out bytes.Buffer
	err := command.Run(t.Context(), strings.Fields(line), strings.NewReader(stdin), &out, &out)
	if err != nil {
		out.WriteString(err.Error())
	}
	return out.String()
}

// TestCommands: what a stranger types, right and wrong, and what is said to it.
func TestCommands(t *testing.T) {
	dir := t.TempDir()
	s, err := store.Open(t.Context(), store.Options{Dir: dir, Reserve: -1, Quota: 16 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = s.Serve(t.Context(), l, nil) }()
	address := l.Addr().String()
	fill := strings.NewReplacer("STORE", "--store=etcd://"+address, "ADDRESS", address, "HERE", dir, "DIR", t.TempDir(), "FILE", "command_test.go")

	for _, step := range []struct{ command, says string }{
		{"put STORE c/1 one", ""},
		{"get STORE c/1", "one\n"},
		{"get STORE", "an argument is missing: divisi store get [flags] KEY"},
		{"get c/1 STORE", "one\n"},
		{"get STORE -o json c/1", `{"key":"c/1","value":"one","revision":`},
		{"get STORE -- -x", `there is no key "-x"`},
		{"get STORE a b", `"b" is too much`},
		{"get STORE -o xml a", `-o "xml" is none of text and json`},
		{"get --stroe x a", "flag provided but not defined: -stroe: see divisi store get --help"},
		{"get --help", "--store addresses"},
		{"put STORE c/3 x -o json", `{"revision":`},
		{"delete STORE --prefix c/ -o json", `"deleted":2}`},
		{"status STORE -o json", `"leads":true`},
		{"get a --store 127.0.0.1:1", "cannot reach the store at 127.0.0.1:1: "},
		{"get a --store https://ADDRESS", "it does not encrypt"},
		{"serve --data x --auto-compaction-mode often", "it is periodic or revision"},
		{"serve --data x --auto-compaction-retention soon", "it is no time"},
		{"serve --data x --tls-users", "--tls-client-ca"},
		{"serve", "give one with --data"},
		{"serve --data-dir x", "-data-dir, which is --data here"},
		{"serve --data DIR --listen ADDRESS", "choose another address with --listen"},
		{"get STORE --user ann --password-file /none c/1", "cannot read --password-file"},
		{"gte", `no command "gte"`},
		{"help", "serve a store at an address"},
		{"complete se", "serve\tserve a store at an address"},
		{"complete get --", "--store\t"},
		{"compact STORE x", `"x" is no revision`},
		{"put STORE c/1 one", ""},
		{"get STORE c/2", `there is no key "c/2"`},
		{"delete STORE c/2", `there is no key "c/2"`},
		{"get STORE --user ann c/1", "--password-file"},
		{"restore FILE --data HERE", "there is a store in it"},
		{"restore FILE", "give one with --data"},
		{"restore FILE --data x --bump-revision 5", "give both, or none"},
		{"restore --data x", "an argument is missing"},
		{"recover --data FILE", "divisi store restore makes one of a snapshot"},
		{"recover --data HERE", "another process has it"},
		{"recover --data HERE --bump-revision 0", "cannot leave out 0 revisions"},
		{"recover", "that of the member with --data"},
	} {
		line := fill.Replace(step.command)
		if out := said(t, line, ""); !strings.Contains(out, step.says) {
			t.Errorf("divisi store %s says %q and not %q", line, out, step.says)
		}
	}
	big := strings.Repeat("x", 2<<20)
	if out := said(t, fill.Replace("put STORE big -"), big); !strings.Contains(out, "may have 1.5 MiB together") {
		t.Errorf("of a value that is too large is said %q", out)
	}
	for range 20 {
		_ = said(t, fill.Replace("put STORE full -"), big[:1<<20])
	}
	if out := said(t, fill.Replace("put STORE full -"), big[:1<<20]); !strings.Contains(out, "then divisi store compact, defrag and disarm") {
		t.Errorf("of a full store is said %q", out)
	}
}

// TestStrangers: what is no store is told from one that does not answer.
func TestStrangers(t *testing.T) {
	page := httptest.NewServer(http.NotFoundHandler())
	defer page.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	other := grpc.NewServer()
	go func() { _ = other.Serve(l) }()
	defer other.Stop()
	for at, says := range map[string]string{
		page.URL: "speaks HTTP, and is no store and no etcd", l.Addr().String(): "speaks gRPC, and is no store and no etcd",
	} {
		begin := time.Now()
		out := said(t, "get a --store "+at, "")
		if !strings.Contains(out, says) {
			t.Errorf("of %s is said %q and not %q after %v", at, out, says, time.Since(begin))
		}
	}
}
