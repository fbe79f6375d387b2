package logger

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
)

// TestLines: each line of a value has a record of its own, with the attributes of its logger.
func TestLines(t *testing.T) {
	var out strings.Builder
	plain := slog.NewTextHandler(&out, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}})
	slog.New(Lines{plain}).With("program", "orderd").Warn("failed", "why", errors.New("it ended\n  word 1\n  word 2"), "n", 1)

	want := "level=WARN msg=failed program=orderd why=\"it ended\" n=1\n" +
		"level=WARN msg=\"  word 1\" program=orderd\nlevel=WARN msg=\"  word 2\" program=orderd\n"
	if got := out.String(); got != want {
		t.Errorf("it prints\n%s\nand not\n%s", got, want)
	}
}
