package serve

import (
	"net"
	"syscall"
	"testing"
)

// TestKeepAlive: the system probes the connections of a listener, so that clients that have vanished are noticed.
func TestKeepAlive(t *testing.T) {
	l, err := listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dialled, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer dialled.Close()
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()

	raw, err := c.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	err = raw.Control(func(fd uintptr) {
		for _, o := range probes {
			got, err := syscall.GetsockoptInt(int(fd), o.level, o.name)
			if got != o.value || err != nil {
				t.Errorf("option %d of level %d is %d, %v, want %d", o.name, o.level, got, err, o.value)
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
}
