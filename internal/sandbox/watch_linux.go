package sandbox

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	goruntime "runtime"
	"strings"
	"syscall"

	"github.com/divisi-go/divisi/internal/inherit"
	"github.com/divisi-go/divisi/internal/namespace"
	"github.com/divisi-go/divisi/internal/notify"
)

// Enter makes this process a part of a sandbox, and never returns, if it was started as one.
func Enter() {
	text, stage := os.Getenv(variable), os.Getenv(stageVariable)
	if text == "" {
		return
	}
	os.Unsetenv(variable)
	os.Unsetenv(stageVariable)
	err := enter([]byte(text), stage)
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit) && exit.Exited():
		os.Exit(exit.ExitCode()) // it has said why
	case err != nil:
		fmt.Fprintln(os.Stderr, "divisi sandbox:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

func enter(text []byte, stage string) error {
	b := birth{}
	if err := json.Unmarshal(text, &b); err != nil {
		return fmt.Errorf("%s is for keepers only: unset it: %w", variable, err)
	}
	switch stage {
	case "":
		return watch(b)
	case stageBuild:
		return build(b)
	}
	return serve(b)
}

// birth is what the first process is told.
type birth struct {
	Spec
	Sockets []string `json:"sockets,omitempty"` // names of those that it inherits from firstSocket on
}

// Descriptors of the first process.
const (
	lifeLine    = 3 // ends when the watcher does
	firstSocket = 4
)

// passed are the variables of the watcher that the first process has.
var passed = []string{"PATH", "LANG", "TZ", "USER", "LOGNAME", "GORACE"}

// watch starts the first process, and ends when that has.
func watch(b birth) error {
	goruntime.LockOSThread() // the first process is killed at the end of the thread that has started it
	given, err := inherit.Descriptors()
	if err != nil {
		return err
	}
	own, their, err := line()
	if err != nil {
		return err
	}
	files := []*os.File{their}
	for _, d := range given {
		b.Sockets, files = append(b.Sockets, d.Name), append(files, os.NewFile(uintptr(d.FD), d.Name))
	}
	told, err := b.environment(stageBuild)
	if err != nil {
		return err
	}

	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGTERM, syscall.SIGINT)
	first := &exec.Cmd{
		Path: "/proc/self/exe", Args: []string{"divisi", "sandbox", b.Name}, Env: told, Dir: "/",
		Stdout: os.Stdout, Stderr: os.Stderr, ExtraFiles: files,
		SysProcAttr: &syscall.SysProcAttr{
			Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWIPC | syscall.CLONE_NEWUTS, Pdeathsig: syscall.SIGKILL,
		},
	}
	namespace.OwnUser(first.SysProcAttr)
	if b.Network == OwnNetwork {
		first.SysProcAttr.Cloneflags |= syscall.CLONE_NEWNET
	}
	if err := first.Start(); err != nil {
		if namespace.Refused(err) {
			err = namespace.Forbidden("a sandbox", err)
		}
		return err
	}
	their.Close() // the sockets stay open: the next keeper takes them back from the process that it knows

	go func() {
		for s := range ended {
			_ = first.Process.Signal(s) // it may have ended
		}
	}()
	go announce(own)
	err = first.Wait()
	goruntime.KeepAlive(files)
	return err
}

// line returns both ends of what ends with either of two processes.
func line() (own, their *os.File, err error) {
	pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	return os.NewFile(uintptr(pair[0]), "line"), os.NewFile(uintptr(pair[1]), "line"), nil
}

// announce tells the keeper once the first process is ready.
func announce(own *os.File) {
	if line, err := bufio.NewReader(own).ReadString('\n'); err == nil && strings.TrimSpace(line) == stageFirst {
		if err := notify.Send(notify.Ready); err != nil {
			fmt.Fprintln(os.Stderr, "divisi sandbox:", err)
		}
	}
}

// environment returns the variables of the first process at a stage.
func (b birth) environment(stage string) ([]string, error) {
	text, err := json.Marshal(b)
	env := []string{variable + "=" + string(text), stageVariable + "=" + stage}
	for _, name := range passed {
		if value, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+value)
		}
	}
	return env, err
}
