//go:build unix

// Package fork starts a process with exactly the descriptors that it is meant to have.
package fork

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"github.com/divisi-go/divisi/internal/inherit"
	"github.com/divisi-go/divisi/internal/keeper/limit"
)

// Program is what to start, and with what.
type Program struct {
	Path string
	Arg0 string // what the process calls itself, as the system shows it; default Path
	Args []string
	Env  []string // but for what tells of descriptors
	More []string // variables that take the place of those of the same names in Env
	Dir  string   // default the root folder
	User string   // default the one of this process

	Join   func(*syscall.SysProcAttr) // has the process be in a control group; nil for that of this one
	Limits []limit.Limit              // of the process, in place of those of this one

	Sockets []int    // descriptors that stay open here
	Names   []string // of the sockets, for LISTEN_FDNAMES
	Files   []*os.File
	Vars    []string // for each file the variable that has its descriptor's number
}

// Close closes what the program was to get of this process.
func (p *Program) Close() {
	for _, fd := range p.Sockets {
		syscall.Close(fd)
	}
	for _, f := range p.Files {
		f.Close()
	}
}

// Process is a process that was started, as the leader of a process group of its own. Whoever has
// started it waits for it.
type Process struct {
	Pid    int
	Stdout *os.File // to be read until the process has ended
	Stderr *os.File
}

// Starter starts programs. The pipes of a process are there before it is wanted: they are made while the
// process before it executes its program, for they take a tenth of a start. The zero value is ready. It is
// safe for concurrent use.
type Starter struct {
	making sync.WaitGroup

	mu     sync.Mutex // guards what follows
	next   *streams   // of the next process; nil while they are not made
	closed bool
}

// Start starts a program.
func (s *Starter) Start(p Program) (Process, error) {
	streams, err := s.take()
	if err != nil {
		return Process{}, err
	}
	s.making.Go(s.prepare)

	pid, err := p.start(streams.null, streams.stdout.write, streams.stderr.write)
	streams.started()
	if err != nil {
		streams.lost()
		return Process{}, err
	}
	return Process{pid, streams.stdout.read, streams.stderr.read}, nil
}

// take returns the streams of a process.
func (s *Starter) take() (*streams, error) {
	s.mu.Lock()
	next := s.next
	s.next = nil
	s.mu.Unlock()
	if next != nil {
		return next, nil
	}
	return newStreams()
}

// prepare makes the streams of the next process. Where that fails, its start says why.
func (s *Starter) prepare() {
	next, err := newStreams()
	if err != nil {
		return
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.next != nil {
		next.started()
		next.lost()
		return
	}
	s.next = next
}

// Close gives up what is there for the next process.
func (s *Starter) Close() {
	s.mu.Lock()
	next := s.next
	s.next, s.closed = nil, true
	s.mu.Unlock()
	if next != nil {
		next.started()
		next.lost()
	}

	s.making.Wait()
}

// streams are what the standard streams of a process go through.
type streams struct {
	null           int // what it reads
	stdout, stderr pipe
}

func newStreams() (*streams, error) {
	null, err := syscall.Open(os.DevNull, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", os.DevNull, err)
	}
	stdout, err := newPipe()
	if err != nil {
		syscall.Close(null)
		return nil, err
	}
	stderr, err := newPipe()
	if err != nil {
		syscall.Close(null)
		syscall.Close(stdout.write)
		stdout.read.Close()
		return nil, err
	}
	return &streams{null, stdout, stderr}, nil
}

// started closes the ends of the process.
func (s *streams) started() {
	for _, fd := range []int{s.null, s.stdout.write, s.stderr.write} {
		syscall.Close(fd)
	}
}

// lost closes the other ends.
func (s *streams) lost() {
	s.stdout.read.Close()
	s.stderr.read.Close()
}

// start starts the program with the descriptors of its standard streams.
func (p *Program) start(standard ...int) (int, error) {
	attributes, err := Become(p.User)
	if err != nil {
		return 0, err
	}
	attributes.Setpgid = true
	if p.Join != nil {
		p.Join(attributes)
	}
	var descriptors []uintptr
	for _, fd := range append(standard, p.Sockets...) {
		descriptors = append(descriptors, uintptr(fd))
	}
	files, err := numbers(p.Files)
	if err != nil {
		return 0, err
	}

	args := append([]string{cmp.Or(p.Arg0, p.Path)}, p.Args...)
	how := &syscall.ProcAttr{
		Dir: cmp.Or(p.Dir, "/"), Env: p.environment(), Files: append(descriptors, files...), Sys: attributes,
	}
	if len(p.Limits) > 0 {
		return p.limited(args, how)
	}
	pid, err := syscall.ForkExec(p.Path, args, how)
	if errors.Is(err, syscall.EACCES) && attributes.Credential != nil {
		err = barred(err, p.User, attributes.Credential, p.Path, how.Dir)
	}
	return pid, err
}

// limited starts the program with limits.
func (p *Program) limited(args []string, how *syscall.ProcAttr) (int, error) {
	g, err := newGate()
	if err != nil {
		return 0, err
	}
	defer g.close()

	path, variable, err := g.program(p, len(how.Files))
	if err != nil {
		return 0, err
	}
	how.Files, how.Env = append(how.Files, uintptr(g.their)), append(how.Env, variable)
	pid, err := syscall.ForkExec(path, args, how)
	if err != nil {
		return 0, err
	}

	return pid, g.open(pid, p.Limits)
}

// environment returns that of the process. This one may have been started the same way: descriptors
// are those of the new one only.
func (p *Program) environment() []string {
	env := slices.DeleteFunc(inherit.Environment(p.Env, p.Names, p.Vars), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return slices.ContainsFunc(p.More, func(more string) bool { return strings.HasPrefix(more, name+"=") })
	})
	return append(env, p.More...)
}

// numbers returns the descriptors of files for the process that will be their only owner.
func numbers(files []*os.File) ([]uintptr, error) {
	var list []uintptr
	for _, f := range files {
		fd, err := Descriptor(f)
		if err == nil {
			err = block(fd)
		}
		if err != nil {
			return nil, err
		}
		list = append(list, uintptr(fd))
	}
	return list, nil
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

// Descriptor returns the descriptor of an open file or socket, for as long as that is open. A file's
// method Fd would take it, and with it all processes that share it, out of non-blocking mode.
func Descriptor(f syscall.Conn) (int, error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return 0, err
	}

	var number int
	err = raw.Control(func(fd uintptr) { number = int(fd) })
	return number, err
}

// Dup copies a descriptor that children do not inherit unless they are given it.
func Dup(fd int) (int, error) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	copied, err := syscall.Dup(fd)
	if err == nil {
		syscall.CloseOnExec(copied)
	}
	return copied, err
}

// CloseOnExec keeps the descriptors that whoever started this program has left open from the
// processes that it starts: they get those that are meant for them, and no others.
func CloseOnExec() {
	open, err := os.ReadDir("/dev/fd")
	if err != nil {
		return // they are inherited, as everywhere else
	}
	for _, entry := range open {
		if fd, err := strconv.Atoi(entry.Name()); err == nil && fd > 2 {
			syscall.CloseOnExec(fd)
		}
	}
}

// pipe is what one of the standard streams of a process goes through. Its end to read is
// non-blocking, and neither end is inherited.
type pipe struct {
	read  *os.File
	write int
}

// pipeOf returns a pipe of two descriptors.
func pipeOf(read, write int) pipe { return pipe{os.NewFile(uintptr(read), "output"), write} }

// Become returns what has a process be of a user, by name or number; of this one without a name.
func Become(who string) (*syscall.SysProcAttr, error) {
	if who == "" {
		return &syscall.SysProcAttr{}, nil
	}
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

	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: ids[0], Gid: ids[1], Groups: ids[2:]}}, nil
}
