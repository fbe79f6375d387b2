//go:build unix

package keeper

import (
	"cmp"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/divisi-go/divisi/internal/inherit"
	"github.com/divisi-go/divisi/internal/keeper/output"
	"github.com/divisi-go/divisi/internal/proc"
)

// runVar is the variable by which the processes of a server are found, whatever their sessions and
// parents are.
const runVar = "DIVISI_RUN"

// process is one start of a server.
type process struct {
	id      ID
	server  *server
	pid     int
	ticks   uint64 // when it started, as the kernel counts it
	started time.Time
	out     [2]*os.File // the keeper's ends of standard output and standard error
	log     *output.Log
	before  <-chan struct{} // closed when the former process of the log has said its last words
	logged  chan struct{}   // closed when all of its log is written
	exit    Exit            // set before logged is closed

	reaped bool // guarded by the keeper's mutex
}

// kill signals the process and its children; the mutex is held, so that its number cannot be
// another's.
func (p *process) kill(s syscall.Signal) error {
	if p.reaped {
		return os.ErrProcessDone
	}
	return syscall.Kill(-p.pid, s)
}

// spawn starts a process of a server, as the leader of a process group of its own. The caller has
// the keeper accompany it.
func (k *Keeper) spawn(s *server, files []File) (*process, error) {
	k.starting.RLock()
	defer k.starting.RUnlock()
	p, sockets, err := k.plan(s)
	if err != nil {
		return nil, err
	}

	outputs, err := newPipes()
	if err != nil {
		return nil, err
	}
	defer outputs.closeWrites()
	p.pid, err = k.fork(p, outputs, sockets, files)
	if err != nil {
		outputs.closeReads()
		k.mu.Lock()
		defer k.mu.Unlock()
		k.journal.Add(entry{Event: refused, ID: p.id})
		return nil, fmt.Errorf("cannot start %s as %v: %w", s.spec.Path, p.id, err)
	}
	p.out = outputs.reads
	p.ticks, p.started = proc.StartTicks(p.pid), time.Now()

	// The folder may have been removed while the keeper runs; without one the log is lost, and counted.
	path := k.logPath(p.id)
	_ = os.MkdirAll(filepath.Dir(path), 0o700)

	k.mu.Lock()
	defer k.mu.Unlock()
	k.processes[p.id.Run] = p
	p.log = k.output.Open(path)
	p.before = k.logged[path]
	k.journal.Add(entry{Event: started, ID: p.id, Pid: p.pid, Ticks: p.ticks, Time: p.started})

	return p, nil
}

// plan gives the process its number, and returns the descriptors of the sockets that it inherits. The
// keeper cannot be closed meanwhile, so that they stay what they are; each is a copy of its own, which
// Unlisten does not take away.
func (k *Keeper) plan(s *server) (*process, []int, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed {
		return nil, nil, ErrClosed
	}

	var sockets []int
	for _, inherit := range s.spec.Sockets {
		socket, ok := k.sockets[key{s.spec.Domain, inherit.Key}]
		if !ok {
			closeAll(sockets)
			return nil, nil, fmt.Errorf("cannot start %v: no socket is kept under the key %s: %w",
				s.spec.ID(), inherit.Key, ErrUnknown)
		}
		fd, err := dup(socket.fd)
		if err != nil {
			closeAll(sockets)
			return nil, nil, err
		}
		sockets = append(sockets, fd)
	}

	k.run++
	p := &process{server: s, id: s.spec.ID(), logged: make(chan struct{})}
	p.id.Run = k.run
	// Recorded before the process is there: one who comes later can find it by its mark.
	k.journal.Add(entry{Event: starts, ID: p.id, Spec: s.spec.journaled()})

	return p, sockets, nil
}

func closeAll(descriptors []int) {
	for _, fd := range descriptors {
		syscall.Close(fd)
	}
}

// fork starts the process.
func (k *Keeper) fork(p *process, outputs *pipes, sockets []int, files []File) (int, error) {
	defer closeAll(sockets)
	null, err := os.Open(os.DevNull)
	if err != nil {
		return 0, err
	}
	defer null.Close()

	open := append([]*os.File{null}, outputs.writes[:]...)
	var variables []string
	for _, f := range files {
		variables = append(variables, f.Var)
	}
	var descriptors []uintptr
	add := func(list ...*os.File) error {
		for _, f := range list {
			fd, err := rawDescriptor(f)
			if err != nil {
				return err
			}
			if err := block(fd); err != nil {
				return err
			}
			descriptors = append(descriptors, uintptr(fd))
		}
		return nil
	}
	if err := add(open...); err != nil {
		return 0, err
	}
	for _, fd := range sockets {
		descriptors = append(descriptors, uintptr(fd))
	}
	for _, f := range files {
		if err := add(f.File); err != nil {
			return 0, err
		}
	}

	spec := &p.server.spec
	attributes := &syscall.SysProcAttr{Setpgid: true}
	if spec.User != "" {
		if attributes.Credential, err = credential(spec.User); err != nil {
			return 0, err
		}
	}
	var names []string
	for _, i := range spec.Sockets {
		names = append(names, cmp.Or(i.As, i.Key))
	}
	// A keeper may be a child of one itself: descriptors and mark are those of this child only.
	env := inherit.Environment(spec.Env, names, variables)
	env = slices.DeleteFunc(env, func(v string) bool { return len(v) > len(runVar) && v[:len(runVar)+1] == runVar+"=" })
	env = append(env, runVar+"="+k.markOf(p.id.Run))

	return syscall.ForkExec(spec.Path, append([]string{cmp.Or(spec.Arg0, spec.Path)}, spec.Args...), &syscall.ProcAttr{
		Dir: cmp.Or(spec.Dir, "/"), Env: env, Files: descriptors, Sys: attributes,
	})
}

// markOf returns what tells the processes of one start from all others.
func (k *Keeper) markOf(run uint64) string { return k.mark + "-" + strconv.FormatUint(run, 10) }

// credential returns who a process is to be.
func credential(who string) (*syscall.Credential, error) {
	u, err := user.Lookup(who)
	if err != nil {
		if u, err = user.LookupId(who); err != nil {
			return nil, fmt.Errorf("there is no user %q on this machine", who)
		}
	}
	groups, err := u.GroupIds()
	if err != nil {
		return nil, fmt.Errorf("the groups of the user %s: %w", who, err)
	}

	var ids []uint32
	for _, text := range append([]string{u.Uid, u.Gid}, groups...) {
		id, err := strconv.ParseUint(text, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("the user %s: %w", who, err)
		}
		ids = append(ids, uint32(id))
	}

	return &syscall.Credential{Uid: ids[0], Gid: ids[1], Groups: ids[2:]}, nil
}

// logPath returns the file of the log of a server.
func (k *Keeper) logPath(id ID) string { return filepath.Join(k.LogDir(id.Domain), id.Name+".log") }

// accompany writes the log of a process and waits for its end; the mutex is held.
func (k *Keeper) accompany(p *process) {
	path := k.logPath(p.id)
	k.wait.Go(func() {
		finish := output.Collect(p.log, p.id.String(), p.server.spec.LogKey, p.out[0], p.out[1], p.before)
		k.reap(p)
		finish()

		p.log.Close()
		k.mu.Lock()
		defer k.mu.Unlock()
		close(p.logged)
		delete(k.processes, p.id.Run)
		p.server.writing--
		p.server.settle()
		if k.logged[path] == p.logged {
			delete(k.logged, path)
		}
	})
}

// reapAgain is how long to wait before looking again whether a process can be reaped, where the
// system says that it has ended a moment before it can.
const reapAgain = time.Millisecond

// reap waits for the end of a process and records it.
func (k *Keeper) reap(p *process) {
	for {
		err := proc.WaitExited(p.pid)
		if k.tryReap(p, err == nil) {
			return
		}
		time.Sleep(reapAgain)
	}
}

// tryReap reaps a process, forgets it and records its end, all under the mutex, so that no signal
// reaches a number that may be another's. It reports false if the process cannot be reaped yet.
func (k *Keeper) tryReap(p *process, ended bool) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if ended {
		// What it leaves behind of its group ends with it: while it is not reaped, the group's
		// number is its own.
		_ = p.kill(syscall.SIGKILL)
	}

	var status syscall.WaitStatus
	pid, err := syscall.Wait4(p.pid, &status, syscall.WNOHANG, nil)
	exit := Exit{Code: status.ExitStatus(), How: Waited, Time: time.Now()}
	switch {
	case err == syscall.EINTR || err == nil && pid == 0:
		return false
	case err != nil: // something else in this program has reaped it
		exit.Code, exit.How = -1, Unknown
	case status.Signaled():
		exit.Code, exit.Signal = -1, status.Signal().String()
	}

	p.reaped, p.exit = true, exit
	k.logged[k.logPath(p.id)] = p.logged
	k.record(p.id, p.pid, exit)
	p.server.exited(p)

	return true
}

// lookUp returns the process with a number, unless its log is written already: then how it has
// ended. Without a number it is the one of the name that runs, or the last one.
func (k *Keeper) lookUp(id ID) (*process, Exit, error) {
	k.mu.Lock()
	defer k.mu.Unlock()

	if id.Run == 0 {
		for _, r := range k.exits {
			if r.Domain == id.Domain && r.Name == id.Name {
				id.Run = r.Run
			}
		}
		for _, s := range k.servers[ID{Domain: id.Domain, Name: id.Name}] {
			if s.process != nil {
				id.Run = s.process.id.Run
			}
		}
	}
	if p, ok := k.processes[id.Run]; ok && p.id == id {
		return p, Exit{}, nil
	}
	for _, r := range slices.Backward(k.exits) {
		if r.ID == id {
			return nil, r.Exit, nil
		}
	}

	return nil, Exit{}, fmt.Errorf("cannot wait for %v: %w", id, ErrUnknown)
}

// rawDescriptor returns the descriptor of an open file. Its method Fd would take the file, and with
// it all processes that share it, out of non-blocking mode.
func rawDescriptor(f *os.File) (int, error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return 0, err
	}

	var number int
	err = raw.Control(func(fd uintptr) { number = int(fd) })
	return number, err
}

// block takes a pipe out of non-blocking mode, in which programs do not expect it. Its end is that of
// the process alone; a socket may be shared with others, and stays as it is.
func block(fd int) error {
	var info syscall.Stat_t
	if err := syscall.Fstat(fd, &info); err != nil {
		return err
	}
	if info.Mode&syscall.S_IFMT == syscall.S_IFIFO {
		return syscall.SetNonblock(fd, false)
	}
	return nil
}

// pipes are the standard output and the standard error of a process.
type pipes struct{ reads, writes [2]*os.File }

func newPipes() (*pipes, error) {
	p := &pipes{}
	for i := range p.reads {
		var err error
		if p.reads[i], p.writes[i], err = newPipe(); err != nil {
			p.closeReads()
			p.closeWrites()
			return nil, err
		}
	}
	return p, nil
}

func (p *pipes) closeReads()  { closeFiles(p.reads[:]) }
func (p *pipes) closeWrites() { closeFiles(p.writes[:]) }

func closeFiles(files []*os.File) {
	for _, f := range files {
		f.Close() // a file that was never opened is nil, which is an error without effect
	}
}
