//go:build unix

package inherit

import (
	"cmp"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

func takeOver() (Files, error) {
	defer forget()
	var files Files
	var err error
	if piped() {
		if files.In, err = open(ToWeavelet); err != nil {
			return Files{}, err
		}
		if files.Out, err = open(ToEnvelope); err != nil {
			return Files{}, err
		}
	}
	if address := os.Getenv(Envelope); address != "" {
		path, ok := strings.CutPrefix(address, UnixScheme)
		if !ok || !filepath.IsAbs(path) {
			return Files{}, fmt.Errorf("the environment variable %s is %q: it must be %s and the whole path of "+
				"a deployer's socket", Envelope, address, UnixScheme)
		}
		files.dials(path)
	}
	files.Boot = os.Getenv(Boot)
	if os.Getenv(Certificate) != "" {
		if files.Certificate, err = open(Certificate); err != nil {
			return Files{}, err
		}
	}
	list, err := sockets()
	files.Sockets = NewSockets(list...)
	return files, err
}

// dials takes a socket in the place of pipes: a deployer that does not know which of them a program
// understands gives both.
func (f *Files) dials(path string) {
	f.Envelope = path
	if f.In != nil {
		f.In.Close()
		f.Out.Close()
		f.In, f.Out = nil, nil
	}
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
	passed, err := descriptors()
	if err != nil {
		return nil, err
	}
	var list []Socket
	for _, d := range passed {
		l, err := listener(d)
		if err != nil {
			return nil, fmt.Errorf("the inherited socket %s (descriptor %d) is not usable: %w", d.Name, d.FD, err)
		}
		list = append(list, Socket{d.Name, l})
	}
	return list, nil
}

// Descriptors takes over what the parent has left open in the way of systemd. It is for who has put other
// things there than sockets, in place of [Take]. The variables are gone afterwards.
func Descriptors() ([]Descriptor, error) {
	defer forget()
	return descriptors()
}

func descriptors() ([]Descriptor, error) {
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
	var list []Descriptor
	for i := range count {
		d := Descriptor{FD: FirstSocket + i}
		if i < len(names) {
			d.Name = names[i]
		}
		if _, _, errno := syscall.Syscall(syscall.SYS_FCNTL, uintptr(d.FD), syscall.F_SETFD, syscall.FD_CLOEXEC); errno != 0 {
			return nil, fmt.Errorf("the inherited socket %s (descriptor %d) is not usable: %w", d.Name, d.FD, errno)
		}
		list = append(list, d)
	}
	return list, nil
}

func listener(d Descriptor) (net.Listener, error) {
	file := os.NewFile(uintptr(d.FD), d.Name)
	defer file.Close()
	l, err := net.FileListener(file)
	if unix, ok := l.(*net.UnixListener); ok {
		unix.SetUnlinkOnClose(false) // the path is shared with other processes
	}
	return l, err
}
