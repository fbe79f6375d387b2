//go:build linux || darwin

package keeper

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/divisi-go/divisi/internal/inherit"
)

// process is a process that runs.
type process struct {
	name   string
	node   string // who its output is from
	key    string // of its lines that are entries of a log
	pid    int
	reaped bool
	logged chan struct{} // closed when all of its log is written
}

// kill signals the process and its children; the keeper's mutex must be held, so that its number
// cannot be another's.
func (p *process) kill(s syscall.Signal) error {
	if p.reaped {
		return os.ErrProcessDone
	}

	return syscall.Kill(-p.pid, s)
}

// Start starts a process as the leader of a process group of its own. Several processes may have
// one name, and share its log.
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

	k.starting.RLock()
	defer k.starting.RUnlock()
	pid, err := k.fork(s, null, outWrite, errWrite)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("cannot start %s as %s: %w", s.Path, s.Name, err),
			outRead.Close(), errRead.Close())
	}

	return k.accompany(&process{name: s.Name, node: cmp.Or(s.Node, s.Name), key: s.LogKey, pid: pid, logged: make(chan struct{})}, outRead, errRead), nil
}

// accompany records a process that was started, writes its log, and waits for its end.
func (k *Keeper) accompany(p *process, stdout, stderr *os.File) *Process {
	started := time.Now()
	k.journal.record(record{Name: p.name, Pid: p.pid, Event: eventStarted, Time: started})

	k.mu.Lock()
	k.processes[p] = true
	file := k.openLog(p.name)
	before := k.logged[p.name]
	k.mu.Unlock()

	output := newOutput(p.node, p.key, file)
	exited := make(chan Exit, 1)
	k.wait.Go(func() {
		finish := output.collect(stdout, stderr, before)
		exited <- k.reap(p)
		close(exited)
		finish()

		k.mu.Lock()
		defer k.mu.Unlock()
		k.closeLog(file)
		close(p.logged)
		if k.logged[p.name] == p.logged {
			delete(k.logged, p.name)
		}
	})

	return &Process{
		Name: p.name, Pid: p.pid, Started: started, Exited: exited,
		Lost:   file.lost.Load,
		Signal: func(s syscall.Signal) error { return k.signal(p, s) },
		CPU:    func() (time.Duration, error) { return cpuTime(p.pid) },
	}
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

// fork starts the process. The keeper cannot be closed meanwhile, so that its descriptors stay
// what they are.
func (k *Keeper) fork(s Spec, null, stdout, stderr *os.File) (int, error) {
	files := []uintptr{null.Fd(), stdout.Fd(), stderr.Fd()}
	sockets, err := k.descriptors(s.Sockets)
	if err != nil {
		return 0, err
	}
	files = append(files, sockets...)
	for _, f := range s.Files {
		files = append(files, f.Fd())
	}

	// A keeper may be a child of one itself: descriptors are those of this child only.
	env := inherit.Environment(s.Env, s.Sockets, s.FileVars)

	return syscall.ForkExec(s.Path, append([]string{cmp.Or(s.Arg0, s.Path)}, s.Args...), &syscall.ProcAttr{
		Dir: s.Dir, Env: env, Files: files, Sys: &syscall.SysProcAttr{Setpgid: true},
	})
}

// descriptors returns those of the sockets that a process is to inherit.
func (k *Keeper) descriptors(keys []string) ([]uintptr, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed {
		return nil, errClosed
	}

	var list []uintptr
	for _, key := range keys {
		socket, ok := k.sockets[key]
		if !ok {
			return nil, fmt.Errorf("no socket is kept under the key %s", key)
		}
		list = append(list, uintptr(socket.fd))
	}

	return list, nil
}

// reapAgain is how long to wait before looking again whether a process can be reaped, where the
// system says that it has ended a moment before it can.
const reapAgain = time.Millisecond

// reap waits for the end of a process and records it.
func (k *Keeper) reap(p *process) Exit {
	for {
		err := waitExited(p.pid)
		exit, ok := k.tryReap(p, err == nil)
		if ok {
			k.journal.record(record{
				Name: p.name, Pid: p.pid, Event: eventExited,
				Code: exit.Code, Signal: exit.Signal, How: exit.How, Time: exit.Time,
			})
			return exit
		}
		time.Sleep(reapAgain)
	}
}

// tryReap reaps a process and forgets it, both under the mutex, so that no signal reaches a number
// that may be another's. It reports false if the process cannot be reaped yet.
func (k *Keeper) tryReap(p *process, ended bool) (Exit, bool) {
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
	delete(k.processes, p)
	k.logged[p.name] = p.logged

	return exit, true
}

// signal sends a signal to a process and its children.
func (k *Keeper) signal(p *process, s syscall.Signal) error {
	k.mu.Lock()
	defer k.mu.Unlock()

	err := p.kill(s)
	if err != nil {
		return fmt.Errorf("cannot signal %s (process %d): %w", p.name, p.pid, err)
	}

	return nil
}
