package fork

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"github.com/divisi-go/divisi/internal/keeper/limit"
)

// A process with limits of its own is this program at first: nothing else can set the limits of a process
// before its program runs, and leave those of its parent alone. It waits at a gate until its parent has
// allowed it what it cannot allow itself, sets its limits, and executes the program.

// becomeVariable has what a process is to become. Its program never sees it.
const becomeVariable = "DIVISI_BECOME"

// become is the value of the variable.
type become struct {
	Gate   int           `json:"gate"` // descriptor
	Path   string        `json:"path"`
	Limits []limit.Limit `json:"limits"`
}

// entered reports whether this program becomes what it is to become when it is started again.
var entered bool

// Enter makes this process the program that it was started to become, if it was. It is called first in
// main by programs that start others with limits.
func Enter() {
	entered = true
	text, found := os.LookupEnv(becomeVariable)
	if !found {
		return
	}

	var b become
	if err := json.Unmarshal([]byte(text), &b); err != nil {
		fmt.Fprintf(os.Stderr, "%s is for starts with limits only: unset it: %v\n", becomeVariable, err)
		os.Exit(1)
	}
	err := b.exec()
	var errno syscall.Errno
	if errors.As(err, &errno) {
		_, _ = syscall.Write(b.Gate, []byte(strconv.Itoa(int(errno)))) // its parent may have gone
	}
	os.Exit(1)
}

// exec executes the program. It returns only if that is refused.
func (b *become) exec() error {
	syscall.CloseOnExec(b.Gate)
	if _, err := syscall.Write(b.Gate, []byte{0}); err != nil { // nothing else sets limits here any more
		return err
	}
	if n, err := syscall.Read(b.Gate, make([]byte, 1)); n != 1 {
		return errors.Join(errors.New("the parent has gone"), err)
	}
	env := slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, becomeVariable+"=") })

	for _, l := range b.Limits {
		own := syscall.Rlimit{Cur: l.Soft, Max: l.Hard}
		// The standard library sets the number of files back when it executes a program, unless it was
		// set by its own function.
		err := syscall.Setrlimit(l.Resource(), &own)
		if err != nil {
			return err
		}
	}
	return syscall.Exec(b.Path, os.Args, env)
}

// gateTime bounds how long a program may take to execute another one.
const gateTime = 30 * time.Second

// gate is the way to a process that is about to become its program.
type gate struct {
	own   *os.File
	their int
}

func newGate() (*gate, error) {
	if !entered {
		return nil, errors.New("limits need a keeper that is a process of its own")
	}
	pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socketpair", err)
	}
	if err := syscall.SetNonblock(pair[0], true); err != nil {
		return nil, err
	}
	return &gate{os.NewFile(uintptr(pair[0]), "gate"), pair[1]}, nil
}

func (g *gate) close() {
	g.own.Close()
	syscall.Close(g.their)
}

// program returns what is started first, with the number that the gate has there.
func (g *gate) program(p *Program, number int) (path, variable string, err error) {
	text, err := json.Marshal(become{number, p.Path, p.Limits})
	return "/proc/self/exe", becomeVariable + "=" + string(text), err
}

// open lets the process become its program, and returns when it is, or why it is not.
func (g *gate) open(pid int, limits []limit.Limit) error {
	syscall.Close(g.their)
	g.their = -1
	err := g.own.SetDeadline(time.Now().Add(gateTime))
	if err == nil {
		_, err = g.own.Read(make([]byte, 1)) // it is there
	}
	for _, l := range limits {
		if err == nil {
			err = allow(pid, l)
		}
	}
	if err == nil {
		_, err = g.own.Write([]byte{0})
	}
	refused := make([]byte, 16)
	n := 0
	if err == nil {
		if n, err = g.own.Read(refused); n == 0 && !errors.Is(err, os.ErrDeadlineExceeded) {
			return nil // the end of the gate was closed when the program was executed
		}
	}

	_ = syscall.Kill(pid, syscall.SIGKILL)
	_, _ = syscall.Wait4(pid, nil, 0, nil)
	if number, parseErr := strconv.Atoi(string(refused[:n])); parseErr == nil {
		return syscall.Errno(number)
	}
	return err
}

// allow raises what a process may raise a limit to, as only root can.
func allow(pid int, l limit.Limit) error {
	var now syscall.Rlimit
	if err := prlimit(pid, l, nil, &now); err != nil {
		return err
	}
	if l.Hard <= now.Max {
		return nil
	}
	raised := syscall.Rlimit{Cur: now.Cur, Max: l.Hard}
	if err := prlimit(pid, l, &raised, nil); err != nil {
		return fmt.Errorf("the limit %v: %w: give at most %v, or ask root", l, err, limit.Limit{Name: l.Name, Soft: now.Max, Hard: now.Max})
	}
	return nil
}

func prlimit(pid int, l limit.Limit, next, now *syscall.Rlimit) error {
	_, _, errno := syscall.Syscall6(syscall.SYS_PRLIMIT64, uintptr(pid), uintptr(l.Resource()),
		uintptr(unsafe.Pointer(next)), uintptr(unsafe.Pointer(now)), 0, 0)
	if errno != 0 {
		return os.NewSyscallError("prlimit", errno)
	}
	return nil
}
