//go:build unix

package keeper

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

var errClosed = errors.New("the keeper is closed")

// Spec is a process to start.
type Spec struct {
	Name     string // unique among those that run; also that of its log
	Path     string
	Args     []string
	Env      []string   // all of it
	Dir      string     // "" for this process's own
	Sockets  []string   // keys of sockets to inherit, from descriptor 3 on, named by LISTEN_FDNAMES
	Files    []*os.File // inherited after the sockets; closed here once the process has started
	FileVars []string   // for each file the variable that has its descriptor's number
}

// Exit is how a process ended.
type Exit struct {
	Code   int    `json:"code"` // -1 if a signal ended it
	Signal string `json:"signal,omitempty"`
	Time   time.Time
}

// String returns "exited with code 1" or "was ended by the signal killed".
func (e Exit) String() string {
	if e.Signal != "" {
		return "was ended by the signal " + e.Signal
	}
	return fmt.Sprintf("exited with code %d", e.Code)
}

// Process is a process that was started.
type Process struct {
	Name    string
	Pid     int
	Started time.Time
	Exited  <-chan Exit // has one element, then is closed
}

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
	if s.Name == "" || strings.ContainsAny(s.Name, "/\x00") || strings.HasPrefix(s.Name, ".") {
		return nil, fmt.Errorf("cannot start a process named %q: the name is also that of a file", s.Name)
	}
	outRead, outWrite, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer outWrite.Close()
	errRead, errWrite, err := os.Pipe()
	if err != nil {
		outRead.Close()
		return nil, err
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
		return nil, errors.Join(fmt.Errorf("cannot start %s: %w", s.Path, err),
			outRead.Close(), errRead.Close())
	}
	p := &process{pid: pid}
	k.processes[s.Name] = p
	started := time.Now()
	k.record(record{Name: s.Name, Pid: pid, Event: "started", Time: started})
	output := newOutput(s.Name, filepath.Join(k.LogDir(), s.Name+".log"))
	exited := make(chan Exit, 1)
	k.wait.Add(1)
	go func() {
		defer k.wait.Done()
		gone := output.collect(outRead, errRead)
		exited <- k.reap(s.Name, p)
		close(exited)
		gone()
	}()
	return &Process{Name: s.Name, Pid: pid, Started: started, Exited: exited}, nil
}

// fork starts the process; the mutex is held.
func (k *Keeper) fork(s Spec, null, stdout, stderr *os.File) (int, error) {
	if k.closed {
		return 0, errClosed
	}
	if _, ok := k.processes[s.Name]; ok {
		return 0, fmt.Errorf("a process named %s runs already", s.Name)
	}
	files := []uintptr{null.Fd(), stdout.Fd(), stderr.Fd()}
	env := s.Env
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
	return syscall.ForkExec(s.Path, append([]string{s.Path}, s.Args...), &syscall.ProcAttr{
		Dir: s.Dir, Env: env, Files: files, Sys: &syscall.SysProcAttr{Setpgid: true},
	})
}

// reap waits for the end of a process and records it.
func (k *Keeper) reap(name string, p *process) Exit {
	var status syscall.WaitStatus
	waitExited(p.pid)
	k.mu.Lock()
	defer k.mu.Unlock()
	for {
		_, err := syscall.Wait4(p.pid, &status, 0, nil)
		if err != syscall.EINTR {
			break
		}
	}
	p.reaped = true
	delete(k.processes, name)
	// What it leaves behind of its own group ends with it.
	_ = syscall.Kill(-p.pid, syscall.SIGKILL)
	exit := Exit{Code: status.ExitStatus(), Time: time.Now()}
	if status.Signaled() {
		exit.Code, exit.Signal = -1, status.Signal().String()
	}
	k.record(record{
		Name: name, Pid: p.pid, Event: "exited", Code: exit.Code, Signal: exit.Signal, Time: exit.Time,
	})
	return exit
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

// record is a line of the journal.
type record struct {
	Name   string    `json:"name"`
	Pid    int       `json:"pid"`
	Event  string    `json:"event"` // started or exited
	Code   int       `json:"code"`
	Signal string    `json:"signal,omitempty"`
	Time   time.Time `json:"time"`
}

// record appends to the journal, in one write so that lines stay whole. A journal that cannot be
// written must not keep processes from running.
func (k *Keeper) record(r record) {
	var line bytes.Buffer
	if json.NewEncoder(&line).Encode(r) == nil {
		_, _ = k.journal.Write(line.Bytes())
	}
}

// ExitRecord is how a process of any keeper of this folder ended.
type ExitRecord struct {
	Name string
	Pid  int
	Exit Exit
}

// Exits returns the ends in the journal, the oldest first.
func (k *Keeper) Exits() ([]ExitRecord, error) {
	data, err := os.ReadFile(k.journal.Name())
	if err != nil {
		return nil, err
	}
	var exits []ExitRecord
	for line := range bytes.Lines(data) {
		var r record
		if json.Unmarshal(line, &r) == nil && r.Event == "exited" {
			exits = append(exits, ExitRecord{r.Name, r.Pid, Exit{r.Code, r.Signal, r.Time}})
		}
	}
	return exits, nil
}
