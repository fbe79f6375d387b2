//go:build unix

package weavelet

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// The variables by which a deployer tells which descriptors are its pipes. They are those of
// Service Weaver.
const (
	toWeaveletVar = "ENVELOPE_TO_WEAVELET_FD"
	toEnvelopeVar = "WEAVELET_TO_ENVELOPE_FD"
)

// The variables of systemd for inherited sockets, which start at descriptor 3.
const (
	listenFDs     = "LISTEN_FDS"
	listenFDNames = "LISTEN_FDNAMES"
	firstSocket   = 3
)

// inherited is what a deployer has left open for this process.
type inherited struct {
	in, out *os.File
	sockets map[string]net.Listener // by the listener's name
}

// inherit takes over what a deployer has left open, and removes it from what children of this
// process would inherit: they must not keep the pipes open. It reports false when the process
// was not started by a deployer.
func inherit() (inherited, bool, error) {
	defer func() {
		for _, key := range []string{toWeaveletVar, toEnvelopeVar, listenFDs, listenFDNames, "LISTEN_PID"} {
			os.Unsetenv(key)
		}
	}()
	if os.Getenv(toWeaveletVar) == "" && os.Getenv(toEnvelopeVar) == "" {
		return inherited{}, false, nil
	}
	var files inherited
	var err error
	if files.in, err = openFD(toWeaveletVar); err != nil {
		return inherited{}, false, err
	}
	if files.out, err = openFD(toEnvelopeVar); err != nil {
		return inherited{}, false, err
	}
	files.sockets, err = inheritSockets()
	return files, true, err
}

func openFD(key string) (*os.File, error) {
	fd, err := strconv.Atoi(os.Getenv(key))
	if err != nil || fd < 0 {
		return nil, fmt.Errorf("the environment variable %s is %q: it must be the number of an open "+
			"descriptor, as a deployer sets it", key, os.Getenv(key))
	}
	syscall.CloseOnExec(fd)
	// Non-blocking, so that waiting for the deployer takes no thread.
	if err := syscall.SetNonblock(fd, true); err != nil {
		return nil, fmt.Errorf("%s=%d is not an open descriptor: %w", key, fd, err)
	}
	return os.NewFile(uintptr(fd), key), nil
}

func inheritSockets() (map[string]net.Listener, error) {
	count, _ := strconv.Atoi(os.Getenv(listenFDs))
	if count == 0 {
		return nil, nil
	}
	names := strings.Split(os.Getenv(listenFDNames), ":")
	sockets := map[string]net.Listener{}
	for i := range min(count, len(names)) {
		fd := firstSocket + i
		syscall.CloseOnExec(fd)
		file := os.NewFile(uintptr(fd), names[i])
		listener, err := net.FileListener(file)
		file.Close()
		if err != nil {
			return nil, fmt.Errorf("the inherited socket %s (descriptor %d) is not usable: %w",
				names[i], fd, err)
		}
		if unix, ok := listener.(*net.UnixListener); ok {
			unix.SetUnlinkOnClose(false) // the path is shared with the other replicas
		}
		sockets[names[i]] = listener
	}
	return sockets, nil
}
