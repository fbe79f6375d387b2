package system_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/divisi-go/divisi/system"
	"github.com/divisi-go/divisi/system/systemtest"
)

func TestDir(t *testing.T) {
	t.Parallel()
	_, _, h := systemtest.New(t)
	dir, err := systemtest.Must(h.Dir("positiond"))(t).Dir("shared")
	if err != nil {
		t.Fatal(err)
	}
	for _, content := range []string{"first", "second"} {
		if err := dir.WriteFile("memory", []byte(content)); err != nil {
			t.Fatal(err)
		}
		got, err := dir.ReadFile("memory")
		if err != nil || string(got) != content {
			t.Errorf("the file has %q and not %q: %v", got, content, err)
		}
	}
	if _, err := dir.ReadFile("nothing"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
	if _, err := dir.Stat("nothing"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
	if info := systemtest.Must(dir.Stat("memory"))(t); info.Size() != int64(len("second")) {
		t.Errorf("the file has %d bytes", info.Size())
	}

	where := filepath.Join("positiond", "shared")
	if got := dir.String(); !strings.HasPrefix(got, h.Name()+":/") || !strings.HasSuffix(got, where) {
		t.Errorf("the folder is %s", got)
	}
	if got := dir.File("memory").String(); got != dir.String()+"/memory" {
		t.Errorf("the file is %s", got)
	}
	path, err := dir.File("memory").On(h)
	if err != nil || !strings.HasSuffix(path, filepath.Join(where, "memory")) {
		t.Errorf("its path is %s: %v", path, err)
	}

	var none system.Dir
	has(t, none.WriteFile("a", nil), "the zero Dir is no folder")
	_, err = none.Listen(t.Context(), nil, "a")
	has(t, err, "the zero Dir is no folder")
	_, err = none.File("a").On(h)
	has(t, err, "the zero Dir is no folder")
	if got := none.String() + ", " + none.File("a").String(); got != "no folder, no file" {
		t.Errorf("the zero values are %s", got)
	}
}

// TestSocket: a server inherits the socket of a folder, and has paths of the folder as arguments.
func TestSocket(t *testing.T) {
	t.Parallel()
	ctx, n, h := systemtest.New(t)
	dir := systemtest.Must(h.Dir("web"))(t)
	l := systemtest.Must(dir.Listen(ctx, n, "web"))(t)
	file := dir.File("web")
	p := systemtest.Must(h.Ensure(ctx, n, system.Spec{
		Name: "web", Program: web, Args: []any{file}, Listeners: []*system.Listener{l}, Ready: "notify",
	}))(t)

	path := systemtest.Must(file.On(h))(t)
	if l.Addr() != path {
		t.Errorf("it listens at %s, not at %s", l.Addr(), path)
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}}}
	answer := systemtest.Must(client.Get("http://web"))(t)
	defer answer.Body.Close()
	text := systemtest.Must(io.ReadAll(answer.Body))(t)
	if want := fmt.Sprint(path, " ", p.Pid()); string(text) != want {
		t.Errorf("the answer is %q, not %q", text, want)
	}
}

// TestTogether: functions run at the same time, and the failure of one ends the others.
func TestTogether(t *testing.T) {
	t.Parallel()
	first, second := make(chan bool), make(chan bool)
	meet := func(mine, other chan bool) func(context.Context) error {
		return func(context.Context) error {
			close(mine)
			<-other
			return nil
		}
	}
	if err := system.Together(t.Context(), meet(first, second), meet(second, first)); err != nil {
		t.Error(err)
	}

	err := system.Together(t.Context(), func(context.Context) error { panic("oh") }, func(ctx context.Context) error {
		<-ctx.Done()
		return nil
	})
	has(t, err, "panic: oh")

	wrong, other := errors.New("wrong"), errors.New("another mistake")
	err = system.Together(t.Context(),
		func(context.Context) error { return wrong },
		func(ctx context.Context) error {
			<-ctx.Done()
			return fmt.Errorf("cannot start: %w", context.Cause(ctx))
		},
		func(ctx context.Context) error { <-ctx.Done(); return other },
	)
	if err == nil || err.Error() != "wrong\nanother mistake" {
		t.Errorf("the errors are %v", err)
	}
	ended, end := context.WithCancelCause(t.Context())
	end(wrong)
	wait := func(ctx context.Context) error { <-ctx.Done(); return context.Cause(ctx) }
	if err := system.Together(ended, wait, wait); !errors.Is(err, wrong) {
		t.Errorf("the error of who ended it is lost: %v", err)
	}
}
