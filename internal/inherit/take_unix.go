//go:build unix

package inherit

import (
	"cmp"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
)

func takeOver() (Files, error) {
	defer forget()
	var files Files
	var err error
	if Deployed() {
		if files.In, err = open(ToWeavelet); err != nil {
			return Files{}, err
		}
		if files.Out, err = open(ToEnvelope); err != nil {
			return Files{}, err
		}
	}
	list, err := sockets()
	files.Sockets = NewSockets(list...)
	return files, err
}

func open(variable string) (*os.File, error) {
	fd, err := strconv.Atoi(os.Getenv(variable))
	if err != nil || fd < 0 {
		return nil, fmt.Errorf("the environment variable %s is %q: it must be the number of an open "+
			"descriptor, as a deployer sets it", variable, os.Getenv(variable))
	}

	syscall.CloseOnExec(fd)
	// Non-blocking, so that waiting for the deployer takes no thread.
	if err := syscall.SetNonblock(fd, true); err != nil {
		return nil, fmt.Errorf("%s=%d is not an open descriptor: %w", variable, fd, err)
	}
	return os.NewFile(uintptr(fd), variable), nil
}

func sockets() ([]Socket, error) {
	if pid := os.Getenv(listenPid); pid != "" && pid != strconv.Itoa(os.Getpid()) {
		return nil, nil // they are for another process, whose environment this one has
	}

	text := cmp.Or(os.Getenv(listenFDs), "0")
	count, err := strconv.Atoi(text)
	if err != nil || count < 0 {
		return nil, fmt.Errorf("the environment variable %s is %q: it must be the number of sockets that "+
			"the process inherits, as systemd sets it", listenFDs, text)
	}
	names := strings.Split(os.Getenv(listenFDNames), ":")
	var list []Socket
	for i := range count {
		var name string
		if i < len(names) {
			name = names[i]
		}
		fd := FirstSocket + i
		l, err := listener(fd, name)
		if err != nil {
			return nil, fmt.Errorf("the inherited socket %s (descriptor %d) is not usable: %w", name, fd, err)
		}
		list = append(list, Socket{name, l})
	}
	return list, nil
}

func listener(fd int, name string) (net.Listener, error) {
	syscall.CloseOnExec(fd)
	file := os.NewFile(uintptr(fd), name)
	defer file.Close()
	l, err := net.FileListener(file)
	if unix, ok := l.(*net.UnixListener); ok {
		unix.SetUnlinkOnClose(false) // the path is shared with other processes
	}
	return l, err
}
