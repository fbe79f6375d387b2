//go:build linux || darwin

package keeper

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// process is a process that runs.
type process struct {
	pid    int
	reaped bool
}

// kill signals the process and its children; the keeper's mutex must be held, so that its number
// cannot be another's.
func (p *process) kill(s syscall.Signal) error {
	if p.reaped {
		return os.ErrProcessDone
	}
	return syscall.Kill(-p.pid, s)
}

// Start starts a process as the leader of a process group of its own.
func (k *Keeper) Start(s Spec) (*Process, error) {
	defer func() {
		for _, f := range s.Files {
			f.Close()
		}
	}()
	if err := s.check(); err != nil {
		return nil, err
	}
	outRead, outWrite, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer outWrite.Close()
	errRead, errWrite, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, outRead.Close())
	}
	defer errWrite.Close()
	null, err := os.Open(os.DevNull)
	if err != nil {
		return nil, errors.Join(err, outRead.Close(), errRead.Close())
	}
	defer null.Close()
	k.mu.Lock()
	defer k.mu.Unlock()
	pid, err := k.fork(s, null, outWrite, errWrite)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("cannot start %s as %s: %w", s.Path, s.Name, err),
			outRead.Close(), errRead.Close())
	}
	p := &process{pid: pid}
	k.processes[s.Name] = p
	started := time.Now()
	k.record(record{Name: s.Name, Pid: pid, Event: eventStarted, Time: started})
	output := newOutput(cmp.Or(s.Node, s.Name), filepath.Join(k.LogDir(), s.Name+".log"), k.logSize)
	before, logged := k.logged[s.Name], make(chan struct{})
	k.logged[s.Name] = logged
	exited := make(chan Exit, 1)
	k.wait.Go(func() {
		finish := output.collect(outRead, errRead, before)
		exited <- k.reap(s.Name, p)
		close(exited)
		finish()
		k.mu.Lock()
		defer k.mu.Unlock()
		if close(logged); k.logged[s.Name] == logged {
			delete(k.logged, s.Name)
		}
	})
	return &Process{Name: s.Name, Pid: pid, Started: started, Exited: exited}, nil
}

func (s Spec) check() error {
	if s.Name == "" || strings.ContainsAny(s.Name, "/\x00") || strings.HasPrefix(s.Name, ".") {
		return fmt.Errorf("cannot start a process named %q: the name is also that of a file", s.Name)
	}
	if len(s.Files) != len(s.FileVars) {
		return fmt.Errorf("cannot start %s: %d files have %d names of variables",
			s.Name, len(s.Files), len(s.FileVars))
	}
	return nil
}

// fork starts the process; the mutex is held.
func (k *Keeper) fork(s Spec, null, stdout, stderr *os.File) (int, error) {
	if k.closed {
		return 0, errClosed
	}
	if p, ok := k.processes[s.Name]; ok {
		return 0, fmt.Errorf("process %d has that name and still runs", p.pid)
	}
	files := []uintptr{null.Fd(), stdout.Fd(), stderr.Fd()}
	// A keeper may be a child of one itself: descriptors are those of this child only.
	ours := append([]string{"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"}, s.FileVars...)
	env := slices.DeleteFunc(slices.Clone(s.Env), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return slices.Contains(ours, name)
	})
	if len(s.Sockets) > 0 {
		for _, key := range s.Sockets {
			socket, ok := k.sockets[key]
			if !ok {
				return 0, fmt.Errorf("no socket is kept under the key %s", key)
			}
			files = append(files, uintptr(socket.fd))
		}
		env = append(env, "LISTEN_FDS="+strconv.Itoa(len(s.Sockets)),
			"LISTEN_FDNAMES="+strings.Join(s.Sockets, ":"))
	}
	for i, f := range s.Files {
		env = append(env, fmt.Sprintf("%s=%d", s.FileVars[i], len(files)))
		files = append(files, f.Fd())
	}
	return syscall.ForkExec(s.Path, append([]string{cmp.Or(s.Arg0, s.Path)}, s.Args...), &syscall.ProcAttr{
		Dir: s.Dir, Env: env, Files: files, Sys: &syscall.SysProcAttr{Setpgid: true},
	})
}

// reapAgain is how long to wait before looking again whether a process can be reaped, where the
// system says that it has ended a moment before it can.
const reapAgain = time.Millisecond

// reap waits for the end of a process and records it.
func (k *Keeper) reap(name string, p *process) Exit {
	for {
		err := waitExited(p.pid)
		if exit, ok := k.tryReap(name, p, err == nil); ok {
			return exit
		}
		time.Sleep(reapAgain)
	}
}

// tryReap reaps a process and records its end, both under the mutex: nobody sees one without the
// other, and no signal reaches a number that may be another's. It reports false if the process
// cannot be reaped yet.
func (k *Keeper) tryReap(name string, p *process, ended bool) (Exit, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if ended {
		// What it leaves behind of its group ends with it: while it is not reaped, the group's
		// number is its own.
		_ = p.kill(syscall.SIGKILL)
	}
	var status syscall.WaitStatus
	pid, err := syscall.Wait4(p.pid, &status, syscall.WNOHANG, nil)
	exit := Exit{Code: status.ExitStatus(), How: howWait, Time: time.Now()}
	switch {
	case err == syscall.EINTR || err == nil && pid == 0:
		return Exit{}, false
	case err != nil: // something else in this program has reaped it
		exit.Code, exit.How = -1, howUnknown
	case status.Signaled():
		exit.Code, exit.Signal = -1, status.Signal().String()
	}
	p.reaped = true
	delete(k.processes, name)
	k.record(record{
		Name: name, Pid: p.pid, Event: eventExited,
		Code: exit.Code, Signal: exit.Signal, How: exit.How, Time: exit.Time,
	})
	return exit, true
}

// Signal sends a signal to a process and its children.
func (k *Keeper) Signal(name string, s syscall.Signal) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	p, ok := k.processes[name]
	if !ok {
		return fmt.Errorf("cannot signal %s: no such process runs", name)
	}
	return p.kill(s)
}
