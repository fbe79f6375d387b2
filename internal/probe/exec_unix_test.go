//go:build unix

package probe

import (
	"os"
	"syscall"
	"testing"
)

func TestExecAs(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root runs commands as somebody else")
	}
	attr := &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	check(t, `exec:test "$(id -u)" = 65534`, Target{Attr: attr, Env: []string{"PATH=" + os.Getenv("PATH")}})
	if attr.Setpgid {
		t.Error("the attributes of the caller have changed")
	}
}
