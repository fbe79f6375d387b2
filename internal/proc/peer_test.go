//go:build linux || darwin

package proc

import (
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// TestPeer: both ends of a connection are this process.
func TestPeer(t *testing.T) {
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	near, err := net.Dial("unix", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer near.Close()
	far, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	for _, conn := range []net.Conn{near, far} {
		if pid, err := Peer(conn.(syscall.Conn)); pid != os.Getpid() || err != nil {
			t.Errorf("the peer is %d, %v", pid, err)
		}
	}

	near.Close()
	if _, err := Peer(near.(syscall.Conn)); err == nil {
		t.Error("a closed connection has a peer")
	}
}
