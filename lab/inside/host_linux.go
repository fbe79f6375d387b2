// Package inside is the first process of a host of a lab.
package inside

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/divisi-go/divisi/internal/clock"
	"github.com/divisi-go/divisi/internal/namespace"
	"github.com/divisi-go/divisi/lab/mount"
	"github.com/divisi-go/divisi/lab/protocol"
)

// inside is the first process of a host: it does in there what clients ask for.
type inside struct {
	protocol.Birth
	mu       sync.Mutex // held from before a child starts until it is in children
	children map[int]chan unix.WaitStatus
}

// Serve is the life of the first process of a host. It ends with its lab.
func Serve(c *net.UnixConn) error {
	h := &inside{children: map[int]chan unix.WaitStatus{}}
	mounts, err := protocol.Receive(c, &h.Birth)
	if err != nil {
		return err
	}
	device, err := h.prepare(mounts)
	protocol.CloseAll(mounts)
	if err != nil {
		return errors.Join(err, protocol.Send(c, protocol.Answer{Error: err.Error()}))
	}
	err = protocol.Send(c, protocol.Answer{}, device)
	_ = device.Close()
	if err != nil {
		return err
	}

	go h.reap()
	for {
		var r protocol.Request
		files, err := protocol.Receive(c, &r)
		if err != nil {
			return err
		}
		go h.serve(r, files)
	}
}

// prepare makes this process a host, and returns its device for the switch.
func (h *inside) prepare(mounts []*os.File) (*os.File, error) {
	if err := mount.Root(h.Home); err != nil {
		return nil, err
	}
	if err := unix.Sethostname([]byte(h.Names[h.Number])); err != nil {
		return nil, err
	}
	if err := writeNames(h.Names); err != nil {
		return nil, err
	}
	if err := setClock(h.Clock); err != nil {
		return nil, err
	}
	if len(mounts) != len(h.Mounts) {
		return nil, fmt.Errorf("%d mounts for %d paths", len(mounts), len(h.Mounts))
	}
	for i, path := range h.Mounts {
		if err := namespace.Attach(mounts[i], path); err != nil {
			return nil, err
		}
	}
	return joinNetwork(h.Number, len(h.Names))
}

// serve answers one request. The first descriptor is the connection with who asks.
func (h *inside) serve(r protocol.Request, files []*os.File) {
	defer func() { protocol.CloseAll(files) }()
	if len(files) == 0 {
		return
	}
	c, err := protocol.Connection(files[0])
	if err != nil {
		return
	}
	defer c.Close()

	var a protocol.Answer
	var back []*os.File
	switch r.Op {
	case protocol.OpRun:
		a.Exit, err = h.run(c, r.Command, files[1:])
	case protocol.OpDial:
		back, err = dial(r)
	case protocol.OpListen:
		back, err = listen(r)
	case protocol.OpDisk:
		if len(files) == 2 {
			err = namespace.Attach(files[1], r.Path)
		}
	case protocol.OpClock:
		err = setClock(r.Offset)
	default:
		err = fmt.Errorf("a host does not know the request %q", r.Op)
	}
	if err != nil {
		a.Error = err.Error()
	}
	_ = protocol.Send(c, a, back...) // or nobody waits for it any more
	protocol.CloseAll(back)
}

// run runs a program until it ends, or whoever has asked for it goes: then it is killed with its group.
func (h *inside) run(c *net.UnixConn, cmd *protocol.Command, files []*os.File) (exit int, err error) {
	if cmd == nil || len(cmd.Args) == 0 || len(files) != 3 {
		return 0, errors.New("a program needs a name, and an input and two outputs")
	}
	pid, ended, err := h.start(cmd, files)
	if err != nil {
		return 0, err
	}
	protocol.CloseAll(files)

	gone := make(chan struct{})
	go func() {
		defer close(gone)
		var nothing struct{}
		_, _ = protocol.Receive(c, &nothing)
	}()
	var status unix.WaitStatus
	select {
	case status = <-ended:
	case <-gone:
		_ = unix.Kill(-pid, unix.SIGKILL)
		status = <-ended
	}

	if status.Signaled() {
		return 128 + int(status.Signal()), nil
	}
	return status.ExitStatus(), nil
}

// start starts a program as the first of a session of its own.
func (h *inside) start(cmd *protocol.Command, files []*os.File) (pid int, ended <-chan unix.WaitStatus, err error) {
	if info, err := os.Stat(cmd.Dir); err != nil || !info.IsDir() {
		if !cmd.Try {
			return 0, nil, fmt.Errorf("%s has no folder %s: share it when the lab is made", h.name(), cmd.Dir)
		}
		cmd.Dir = "/"
	}
	program, err := h.find(cmd)
	if err != nil {
		return 0, nil, err
	}

	ends := make(chan unix.WaitStatus, 1)
	h.mu.Lock()
	defer h.mu.Unlock()
	process, err := os.StartProcess(program, cmd.Args, &os.ProcAttr{Dir: cmd.Dir, Env: append(cmd.Env, clock.Variable+"="+clockFile), Files: files,
		Sys: &unix.SysProcAttr{Setsid: true}})
	if err != nil {
		return 0, nil, fmt.Errorf("%s cannot run %s: %w", h.name(), cmd.Args[0], err)
	}
	pid = process.Pid
	_ = process.Release() // reap waits for it
	h.children[pid] = ends
	return pid, ends, nil
}

// find returns the file of the program that a command means.
func (h *inside) find(cmd *protocol.Command) (string, error) {
	if !strings.Contains(cmd.Args[0], "/") {
		program, err := exec.LookPath(cmd.Args[0])
		if err != nil {
			return "", fmt.Errorf("%s has no program %s in its PATH", h.name(), cmd.Args[0])
		}
		return program, nil
	}

	program := cmd.Args[0]
	if !filepath.IsAbs(program) {
		program = filepath.Join(cmd.Dir, program)
	}
	if _, err := os.Stat(program); err != nil {
		return "", fmt.Errorf("%s has no program %s: share its folder when the lab is made", h.name(), program)
	}
	return program, nil
}

func (h *inside) name() string { return h.Names[h.Number] }

// reap waits for all children: for those that were started here, and for orphans, which the first process inherits.
func (h *inside) reap() {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, unix.SIGCHLD)
	for range signals {
		for {
			var status unix.WaitStatus
			pid, err := unix.Wait4(-1, &status, unix.WNOHANG, nil)
			if errors.Is(err, unix.EINTR) {
				continue
			}
			if err != nil || pid <= 0 {
				break
			}
			h.mu.Lock()
			ended := h.children[pid]
			delete(h.children, pid)
			h.mu.Unlock()
			if ended != nil {
				ended <- status
			}
		}
	}
}

// dial connects inside of this host's network.
func dial(r protocol.Request) ([]*os.File, error) {
	ctx, cancel := context.WithTimeout(context.Background(), r.Timeout)
	defer cancel()
	var d net.Dialer
	c, err := d.DialContext(ctx, r.Network, r.Address)
	if err != nil {
		return nil, err
	}
	return fileOf(c)
}

// listen opens a socket inside of this host's network: one that accepts, or one for datagrams.
func listen(r protocol.Request) ([]*os.File, error) {
	if strings.HasPrefix(r.Network, "udp") {
		c, err := net.ListenPacket(r.Network, r.Address)
		if err != nil {
			return nil, err
		}
		return fileOf(c)
	}
	l, err := net.Listen(r.Network, r.Address)
	if err != nil {
		return nil, err
	}
	return fileOf(l)
}

// fileOf returns the descriptor of a socket in place of the socket.
func fileOf(socket io.Closer) ([]*os.File, error) {
	defer socket.Close()
	s, ok := socket.(interface{ File() (*os.File, error) })
	if !ok {
		return nil, fmt.Errorf("a %T has no descriptor", socket)
	}
	if u, ok := socket.(*net.UnixListener); ok {
		u.SetUnlinkOnClose(false)
	}
	f, err := s.File()
	if err != nil {
		return nil, err
	}
	return []*os.File{f}, nil
}
