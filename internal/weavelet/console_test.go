package weavelet

import (
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/divisi-go/divisi/codegen"
)

// TestConsole: a panic has its place, and its stack is lines that people can read.
func TestConsole(t *testing.T) {
	err := protect(func() error { panic("on purpose") })
	thrown, ok := errors.AsType[*panicError](err)
	if !ok || !errors.Is(err, codegen.ErrPanic) || !strings.Contains(err.Error(), "console_test.go:14)") {
		t.Fatalf("the panic is %v", err)
	}

	var out strings.Builder
	slog.New(newConsole(&out)).With("component", "t/p/A").WithGroup("g").Error("panicked", "n", 1, "stack", thrown.stack)
	head, rest, _ := strings.Cut(out.String(), "\n")
	if !strings.HasSuffix(head, "level=ERROR msg=panicked component=p.A g.n=1") {
		t.Errorf("the record is %q", head)
	}
	if lines := strings.Split(rest, "\n"); len(lines) < 5 || !strings.HasPrefix(lines[0], "\tgoroutine ") {
		t.Errorf("the stack is %q", rest)
	}
}
