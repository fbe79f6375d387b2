//go:build unix

package httpd

import (
	"syscall"
	"testing"
)

func makePipe(t *testing.T, file string) bool {
	if err := syscall.Mkfifo(file, 0o644); err != nil {
		t.Fatal(err)
	}
	return true
}
