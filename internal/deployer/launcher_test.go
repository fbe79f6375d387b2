package deployer

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/divisi-go/divisi/internal/control"
	"github.com/divisi-go/divisi/internal/replica"
)

// execLauncher starts processes with os/exec.
type execLauncher struct {
	t       *testing.T
	mu      sync.Mutex // guards what follows
	sockets map[string]*os.File
	running map[string]*os.Process
	history []string // "started NAME" before a process starts, "ended NAME" once it has
}

func newExecLauncher(t *testing.T) *execLauncher {
	l := &execLauncher{t: t, sockets: map[string]*os.File{}, running: map[string]*os.Process{}}
	t.Cleanup(func() {
		for _, f := range l.sockets {
			f.Close()
		}
		for _, p := range l.running {
			p.Kill()
		}
	})
	return l
}

func (l *execLauncher) Listen(name, address string) (string, error) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return "", err
	}
	defer listener.Close()
	file, err := listener.(*net.TCPListener).File()
	if err != nil {
		return "", err
	}
	defer file.Close()
	// Asked for its number, a file takes the socket out of non-blocking mode, and with it all
	// processes that share it. One that is made when this has happened does not.
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	fd, err := syscall.Dup(int(file.Fd()))
	if err != nil {
		return "", err
	}
	syscall.CloseOnExec(fd)
	l.sockets[name] = os.NewFile(uintptr(fd), name)
	return listener.Addr().String(), nil
}

func (l *execLauncher) Launch(launch replica.Launch) (replica.Process, error) {
	inRead, inWrite, err := os.Pipe()
	if err != nil {
		return replica.Process{}, err
	}
	outRead, outWrite, err := os.Pipe()
	if err != nil {
		return replica.Process{}, err
	}
	cmd := exec.Command(launch.Binary, launch.Args...)
	cmd.Stderr = os.Stderr
	for _, name := range launch.Sockets {
		cmd.ExtraFiles = append(cmd.ExtraFiles, l.sockets[name])
	}
	first := 3 + len(cmd.ExtraFiles)
	cmd.ExtraFiles = append(cmd.ExtraFiles, inRead, outWrite)
	cmd.Env = append(launch.Env,
		fmt.Sprintf("ENVELOPE_TO_WEAVELET_FD=%d", first),
		fmt.Sprintf("WEAVELET_TO_ENVELOPE_FD=%d", first+1),
		fmt.Sprintf("LISTEN_FDS=%d", len(launch.Sockets)),
		"LISTEN_FDNAMES="+strings.Join(launch.Sockets, ":"))
	l.note("started " + launch.Name)
	err = cmd.Start()
	inRead.Close()
	outWrite.Close()
	if err != nil {
		return replica.Process{}, err
	}
	l.mu.Lock()
	l.running[launch.Name] = cmd.Process
	l.mu.Unlock()
	exited := make(chan control.ExitStatus, 1)
	go func() {
		cmd.Wait()
		l.note("ended " + launch.Name)
		l.mu.Lock()
		if l.running[launch.Name] == cmd.Process {
			delete(l.running, launch.Name)
		}
		l.mu.Unlock()
		exited <- control.ExitStatus{
			Code: cmd.ProcessState.ExitCode(), Time: time.Now(), Text: cmd.ProcessState.String(),
		}
	}()
	return replica.Process{
		Pid: cmd.Process.Pid, In: inWrite, Out: outRead, Exited: exited, Signal: cmd.Process.Signal,
	}, nil
}

func (l *execLauncher) note(s string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.history = append(l.history, s)
}
