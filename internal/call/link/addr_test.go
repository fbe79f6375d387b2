package link

import (
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestAddresses(t *testing.T) {
	for addr, want := range map[string]string{
		"unix:///a/b": "unix /a/b false", "tcp://h:1": "tcp h:1 false", "mtls://tcp://h:1": "tcp h:1 true",
		"localhost:0": "tcp localhost:0 false", "/run/x": "unix /run/x false", "mtls://h:1": "tcp h:1 true",
	} {
		network, address, secure, err := splitAddr(addr)
		if got := fmt.Sprintln(network, address, secure); got != want+"\n" || err != nil {
			t.Errorf("%s: %s, %v", addr, got, err)
		}
	}
	for _, addr := range []string{"", "tcp://", "udp://h:1", "mtls://"} {
		if _, err := Listen(addr); err == nil || !strings.Contains(err.Error(), "is none of") {
			t.Errorf("%q: %v", addr, err)
		}
	}
	if _, err := Dial(t.Context(), "mtls://tcp://localhost:1", nil); err == nil || !strings.Contains(err.Error(), "no TLS configuration") {
		t.Errorf("without configuration: %v", err)
	}
}

func FuzzAddr(f *testing.F) {
	for _, s := range []string{"unix:///a", "tcp://h:1", "mtls://tcp://h:1", "://", "mtls://"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		network, address, _, err := splitAddr(s)
		if err == nil && (network != "unix" && network != "tcp" || address == "") {
			t.Fatalf("%q is %q %q", s, network, address)
		}
	})
}

// TestListenAgain: the socket of a killed process is replaced, and that of one that listens is not.
func TestListenAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	killed, err := net.Listen("unix", path)
	if err != nil {
		t.Skipf("there are no Unix sockets here: %v", err)
	}
	killed.(*net.UnixListener).SetUnlinkOnClose(false)
	killed.Close()

	next, err := Listen("unix://" + path)
	if err != nil {
		t.Fatal(err)
	}
	defer next.Close()
	if other, err := Listen("unix://" + path); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("a second one listens there: %v, %v", other, err)
	}
}
