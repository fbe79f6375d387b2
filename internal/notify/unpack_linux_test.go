package notify

import (
	"syscall"
	"testing"
)

func FuzzUnpack(f *testing.F) {
	credentials := syscall.UnixCredentials(&syscall.Ucred{Pid: 17})
	f.Add(credentials)
	f.Add(append(syscall.UnixRights(3, 4), credentials...))
	f.Add(append(append([]byte{22}, syscall.UnixRights(3, 4)[1:]...), credentials...))
	f.Add(credentials[:len(credentials)-4])
	f.Fuzz(func(t *testing.T, control []byte) {
		if pid, fds, err := unpack(control); 4*len(fds) > len(control) {
			t.Errorf("process %d sends %d descriptors in %d bytes, %v", pid, len(fds), len(control), err)
		}
	})
}
