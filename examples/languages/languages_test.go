//go:build linux

package languages

import (
	"io"
	"net"
	"net/http"
	"os/exec"
	"testing"

	"github.com/divisi-go/divisi/system/systemtest"
)

// needs skips a test where a program is not installed.
func needs(t *testing.T, program string) {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		t.Skip(program + " is not installed")
	}
}

func TestExampled(t *testing.T) {
	t.Parallel()
	needs(t, "cc")
	ctx, n, h := systemtest.New(t)
	dir := systemtest.Must(h.Dir("exampled"))(t)
	e := systemtest.Must(StartExampled(ctx, n, h, dir))(t)
	if stuff, err := e.Dir.ReadFile("stuff"); string(stuff) != "done --verbose\ndone --do-stuff-fast\n" {
		t.Errorf("it has done %q: %v", stuff, err)
	}
}

func TestShout(t *testing.T) {
	t.Parallel()
	needs(t, "java")
	ctx, n, h := systemtest.New(t)
	dir := systemtest.Must(h.Dir("shout"))(t)
	s := systemtest.Must(StartShout(ctx, n, h, dir))(t)
	path := systemtest.Must(s.Socket.On(h))(t)
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if text, err := io.ReadAll(conn); string(text) != "HELLO\n" {
		t.Errorf("it says %q: %v", text, err)
	}
}

func TestPage(t *testing.T) {
	t.Parallel()
	needs(t, "python3")
	ctx, n, h := systemtest.New(t)
	dir := systemtest.Must(h.Dir("page"))(t)
	l := systemtest.Must(h.Listen(ctx, n, "page", "127.0.0.1:0"))(t)
	p := systemtest.Must(StartPage(ctx, n, h, dir, l))(t)
	answer, err := http.Get(p.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if text, err := io.ReadAll(answer.Body); string(text) != "Hello!\n" {
		t.Errorf("it says %q: %v", text, err)
	}
}
