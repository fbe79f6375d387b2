//go:build linux

// Package successor is another program that takes the place of this one in the same process, with what
// this one hands over to it. If it cannot, this one goes on.
package successor

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"syscall"

	"github.com/divisi-go/divisi/internal/keeper/fork"
	"github.com/divisi-go/divisi/internal/memfd"
)

// Variables for a program that takes over.
const (
	handedVariable = "DIVISI_KEEPER_HANDED" // the descriptor of what is handed over
	formerVariable = "DIVISI_KEEPER_FORMER" // that of the program before, which goes on if this one cannot
	failedVariable = "DIVISI_KEEPER_FAILED" // why another program could not, for the one that goes on
)

const maxHanded = 256 << 20 // bytes

// Program is a program that is to take over.
type Program struct {
	Path   string
	former *os.File // this one
}

// New returns a program that is to take over. It is closed unless it does.
func New(path string) (*Program, error) {
	former, err := os.Open("/proc/self/exe")
	if err != nil {
		return nil, err
	}
	return &Program{path, former}, nil
}

// Close closes what it needs of this one.
func (p *Program) Close() error { return p.former.Close() }

// Execute executes the program, or this one again if that fails: either has what is handed over, with the
// descriptors, whose numbers stay. It returns only if nobody can go on.
func (p *Program) Execute(args, env []string, handed any, descriptors []int) error {
	text, err := json.Marshal(handed)
	if err != nil {
		return err
	}
	file, err := memfd.New("handed", text)
	if err != nil {
		return err
	}
	number, err := fork.Descriptor(file)
	if err != nil {
		return err
	}
	former, err := fork.Descriptor(p.former)
	if err != nil {
		return err
	}

	defer runtime.KeepAlive([]any{p, file, handed}) // whose descriptors are to be open
	signal.Ignore(syscall.SIGHUP, syscall.SIGPIPE)  // until the next program knows what to do with them
	syscall.ForkLock.Lock()                         // nobody else gets what it does
	for _, fd := range append(descriptors, number, former) {
		if _, _, errno := syscall.Syscall(syscall.SYS_FCNTL, uintptr(fd), syscall.F_SETFD, 0); errno != 0 {
			return os.NewSyscallError("fcntl F_SETFD", errno)
		}
	}
	env = append(env, handedVariable+"="+strconv.Itoa(number), formerVariable+"="+strconv.Itoa(former))
	err = syscall.Exec(p.Path, args, env)
	return errors.Join(err, syscall.Exec("/proc/self/exe", args, append(env, failedVariable+"="+err.Error())))
}

// Receive reads what a former program of this process has handed over, and reports whether one has. Why is
// not empty if this program goes on because another one could not.
func Receive(handed any) (received bool, why string, err error) {
	text := os.Getenv(handedVariable)
	if text == "" {
		return false, "", nil
	}
	number, err := strconv.Atoi(text)
	if err != nil {
		return false, "", fmt.Errorf("%s: %w", handedVariable, err)
	}
	file, err := os.Open("/proc/self/fd/" + strconv.Itoa(number)) // the descriptor stays, for the former program
	if err != nil {
		return false, "", err
	}
	defer file.Close()
	data, err := memfd.Read(file, maxHanded)
	if err != nil {
		return false, "", err
	}
	if err := json.Unmarshal(data, handed); err != nil {
		return false, "", fmt.Errorf("what was handed over is malformed: %w", err)
	}
	return true, os.Getenv(failedVariable), nil
}

// GoBack has the former program of this process go on, if there is one that has handed over, and nothing
// was done yet with what it has. It returns why this one cannot if there is none.
func GoBack(cause error) error {
	former := os.Getenv(formerVariable)
	if former == "" || os.Getenv(failedVariable) != "" {
		return cause
	}
	env := append(os.Environ(), failedVariable+"="+cause.Error())
	return errors.Join(cause, syscall.Exec("/proc/self/fd/"+former, os.Args, env))
}
