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
)

// execLauncher starts processes with os/exec.
type execLauncher struct {
	t       *testing.T
	mu      sync.Mutex // guards what follows
	sockets map[string]*os.File
	running map[string]*os.Process
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
	l.sockets[name], err = listener.(*net.TCPListener).File()
	return listener.Addr().String(), err
}

func (l *execLauncher) Launch(launch Launch) (Process, error) {
	inRead, inWrite, err := os.Pipe()
	if err != nil {
		return Process{}, err
	}
	outRead, outWrite, err := os.Pipe()
	if err != nil {
		return Process{}, err
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
	err = cmd.Start()
	inRead.Close()
	outWrite.Close()
	if err != nil {
		return Process{}, err
	}
	l.mu.Lock()
	l.running[launch.Name] = cmd.Process
	l.mu.Unlock()
	exited := make(chan ExitStatus, 1)
	go func() {
		cmd.Wait()
		l.mu.Lock()
		if l.running[launch.Name] == cmd.Process {
			delete(l.running, launch.Name)
		}
		l.mu.Unlock()
		exited <- ExitStatus{
			Code: cmd.ProcessState.ExitCode(), Time: time.Now(), Text: cmd.ProcessState.String(),
		}
	}()
	return Process{Pid: cmd.Process.Pid, In: inWrite, Out: outRead, Exited: exited}, nil
}

func (l *execLauncher) Signal(name string, s os.Signal) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	p, ok := l.running[name]
	if !ok {
		return fmt.Errorf("%s does not run", name)
	}
	return p.Signal(s.(syscall.Signal))
}
