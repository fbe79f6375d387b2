package e2e

import (
	"cmp"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"
)

// TestTerminal runs the scripts that need a terminal of their own.
func TestTerminal(t *testing.T) {
	t.Parallel()
	testscript.Run(t, withTerminal(params(t, "testdata/terminal")))
}

// withTerminal adds what scripts with a terminal of their own need.
func withTerminal(p testscript.Params) testscript.Params {
	p.Cmds["terminal"], p.Cmds["stopped"] = terminal, stopped
	setup := p.Setup
	p.Setup = func(env *testscript.Env) error {
		env.Values["terminal"] = &session{}
		return setup(env)
	}
	return p
}

// keys are those that a script can type.
var keys = map[string]string{"ctrl-c": "\x03", "ctrl-q": "\x11", "ctrl-s": "\x13", "ctrl-z": "\x1a", "enter": "\r"}

// terminal start FILE PROGRAM ARGS...: runs a program as the first one of a new terminal, and what
// that shows is in a file. terminal type KEY: somebody types there, a key or a text. terminal end: waits until the
// program has ended, with success, or without it for ! terminal end.
func terminal(ts *testscript.TestScript, neg bool, args []string) {
	s := ts.Value("terminal").(*session)
	switch args[0] {
	case "start":
		s.start(ts, args[1], args[2:])
	case "type":
		_, err := s.master.WriteString(cmp.Or(keys[args[1]], args[1]))
		ts.Check(err)
		if args[1] == "ctrl-s" { // the kernel comes to that when it has time
			poll(ts, "the terminal stands still", s.still.Load)
		}
	case "end":
		<-s.ended
		if (s.err != nil) != neg {
			ts.Fatalf("the program in the terminal has ended: %v", s.err)
		}
	default:
		ts.Fatalf("terminal %s: give start, type or end", args[0])
	}
}

// session is the terminal that was opened last.
type session struct{ *screen }

// screen is a terminal and the first program in it.
type screen struct {
	master *os.File
	still  atomic.Bool // somebody has stopped it
	ended  chan struct{}
	err    error // of the program, after ended
}

func (s *session) start(ts *testscript.TestScript, file string, command []string) {
	master, slave, err := openTerminal()
	ts.Check(err)
	shown, err := os.Create(ts.MkAbs(file))
	ts.Check(err)
	program, err := exec.LookPath(command[0])
	ts.Check(err)

	cmd := exec.Command(program, command[1:]...)
	cmd.Args[0] = command[0]
	cmd.Dir, cmd.Env = ts.MkAbs("."), append(ts.Value("vars").([]string), "TERM=dumb")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	ts.Check(cmd.Start())
	slave.Close()

	now := &screen{master: master, ended: make(chan struct{})}
	s.screen = now
	read := make(chan struct{})
	go func() {
		defer close(read)
		now.show(shown)
		shown.Close()
	}()
	go func() {
		now.err = cmd.Wait()
		close(now.ended)
	}()
	ts.Defer(func() {
		master.Close() // hangs up, which a program passes over that nohup has started, or whose parent it has
		_ = cmd.Process.Signal(syscall.SIGTERM)
		<-now.ended
		<-read
	})
}

// show writes what the terminal shows to a file until nobody has it open any more. The terminal is in packet mode: the first byte of
// what is read is 0 before what is shown, and else says what has become of it.
func (s *screen) show(file *os.File) {
	buffer := make([]byte, 64<<10)
	for {
		n, err := s.master.Read(buffer)
		if err != nil || n == 0 {
			return
		}
		switch is := buffer[0]; {
		case is == unix.TIOCPKT_DATA:
			_, _ = file.Write(buffer[1:n])
		case is&unix.TIOCPKT_STOP != 0:
			s.still.Store(true)
		case is&unix.TIOCPKT_START != 0:
			s.still.Store(false)
		}
	}
}

// openTerminal opens a new terminal: the side of who looks at it and types, and that of programs.
func openTerminal() (master, slave *os.File, err error) {
	const flags = unix.O_RDWR | unix.O_NOCTTY | unix.O_CLOEXEC
	fd, err := unix.Open("/dev/ptmx", flags|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, err
	}
	master = os.NewFile(uintptr(fd), "/dev/ptmx")

	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCPKT, 1)
	}
	if err == nil {
		slave, err = os.OpenFile("/dev/pts/"+strconv.Itoa(number), flags, 0)
	}
	if err != nil {
		master.Close()
	}
	return master, slave, err
}

// stopped PID: waits until a process stands still.
func stopped(ts *testscript.TestScript, _ bool, args []string) {
	poll(ts, args[0]+" stands still", func() bool {
		status, _ := os.ReadFile("/proc/" + args[0] + "/status")
		return regexp.MustCompile(`State:\s+T`).Match(status)
	})
}
