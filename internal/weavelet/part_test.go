package weavelet

import (
	"errors"
	"strings"
	"testing"

	"github.com/divisi-go/divisi/codegen"
)

// TestProtect: a panic is an error that has its place and its stack.
func TestProtect(t *testing.T) {
	err := protect(func() error { panic("on purpose") })
	thrown, ok := errors.AsType[*panicError](err)
	if !ok || !errors.Is(err, codegen.ErrPanic) || !strings.Contains(err.Error(), "part_test.go:13)") {
		t.Fatalf("the panic is %v", err)
	}
	if !strings.HasPrefix(thrown.stack, "goroutine ") {
		t.Errorf("the stack is %q", thrown.stack)
	}
}
