package logger

import (
	"log/slog"
	"runtime/debug"
	"strings"
	"testing"
)

// TestConsole: a stack is lines that people can read.
func TestConsole(t *testing.T) {
	var out strings.Builder
	logger := slog.New(NewConsole(&out)).With("component", "t/p/A").WithGroup("g")
	logger.Error("panicked", "n", 1, "stack", string(debug.Stack()))

	head, rest, _ := strings.Cut(out.String(), "\n")
	if !strings.HasSuffix(head, "level=ERROR msg=panicked component=p.A g.n=1") {
		t.Errorf("the record is %q", head)
	}
	if lines := strings.Split(rest, "\n"); len(lines) < 5 || !strings.HasPrefix(lines[0], "\tgoroutine ") {
		t.Errorf("the stack is %q", rest)
	}
}
