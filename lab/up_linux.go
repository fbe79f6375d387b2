package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/divisi-go/divisi/internal/namespace"
	"github.com/divisi-go/divisi/lab/fabric"
	"github.com/divisi-go/divisi/lab/inside"
	"github.com/divisi-go/divisi/lab/protocol"
)

// Status, HostStatus, DiskStatus and LinkStatus are what a lab has.
type (
	Status     = protocol.Status
	HostStatus = protocol.HostStatus
	DiskStatus = protocol.DiskStatus
	LinkStatus = protocol.LinkStatus
)

// Lab is a lab that is up.
type Lab struct {
	address string
	names   []string

	process *exec.Cmd     // nil for one that somebody else has made
	life    *net.UnixConn // it ends when this does
}

// ErrUp is the error of making a lab where one is up already.
var ErrUp = errors.New("a lab is up already")

// ErrNone is the error of using a lab where none is up.
var ErrNone = errors.New("no lab is up")

// Up makes a lab, which ends with [Lab.Close], and with this process, however that ends.
func Up(ctx context.Context, c Config) (*Lab, error) { return up(ctx, c, "", false) }

// Stay makes a lab that stays until [Lab.Down]. Others find it by its name with [Find].
func Stay(ctx context.Context, c Config, name string) (*Lab, error) {
	l, err := up(ctx, c, name, true)
	if err != nil {
		return nil, err
	}
	_ = l.life.Close()
	_ = l.process.Process.Release()
	l.process, l.life = nil, nil
	return l, nil
}

// Find returns the lab that somebody has made with [Stay]. The error is [ErrNone] if there is none.
func Find(ctx context.Context, name string) (*Lab, error) {
	l := &Lab{address: socketName(name)}
	s, err := l.Status(ctx)
	if err != nil {
		return nil, err
	}
	for _, h := range s.Hosts {
		l.names = append(l.names, h.Name)
	}
	return l, nil
}

// socketName is the abstract address of a lab: it is no file, so nothing of it stays. Without a name the kernel chooses one.
func socketName(name string) string {
	if name == "" {
		return ""
	}
	return fmt.Sprintf("@divisi-lab-%d-%s", os.Getuid(), name)
}

func up(ctx context.Context, c Config, name string, stay bool) (*Lab, error) {
	names, err := c.names()
	if err != nil {
		return nil, err
	}
	share, err := shared(c.Share)
	if err != nil {
		return nil, err
	}
	if err := inside.Allowed(); err != nil {
		return nil, err
	}
	l := &Lab{names: names}
	listener, err := l.listen(socketName(name))
	if err != nil {
		return nil, err
	}
	defer listener.Close()

	own, child, err := protocol.Pair()
	if err != nil {
		return nil, err
	}
	defer child.Close()
	cmd := protocol.Again(protocol.RoleGround, child, listener)
	cmd.SysProcAttr = namespaces()
	if stay {
		cmd.Stderr = nil
	}
	if err := cmd.Start(); err != nil {
		_ = own.Close()
		return nil, forbidden(err)
	}
	l.process, l.life = cmd, own

	stop := context.AfterFunc(ctx, func() { _ = cmd.Process.Kill() })
	defer stop()
	err = l.begin(protocol.Plan{Names: names, Chain: c.Chain, Share: share, Seed: c.Seed, Stay: stay, Home: homeFolder()})
	if err != nil {
		_ = cmd.Process.Kill()
		_ = l.Close()
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return nil, err
	}
	return l, nil
}

// listen opens the socket on which the lab answers.
func (l *Lab) listen(address string) (*os.File, error) {
	listener, err := net.ListenUnix("unixpacket", &net.UnixAddr{Name: address, Net: "unixpacket"})
	switch {
	case errors.Is(err, unix.EADDRINUSE):
		return nil, ErrUp
	case err != nil:
		return nil, err
	}
	defer listener.Close()
	l.address = listener.Addr().String()
	return listener.File()
}

// begin tells the process of a lab what it is to be, and waits until it is.
func (l *Lab) begin(p protocol.Plan) error {
	for _, message := range []any{p, struct{ Pid int }{l.process.Process.Pid}} {
		if err := protocol.Send(l.life, message); err != nil {
			return fmt.Errorf("the process of the lab has ended: %w", err)
		}
		var a protocol.Answer
		if _, err := protocol.Receive(l.life, &a); err != nil {
			return fmt.Errorf("the process of the lab has ended: %w", err)
		}
		if a.Forbidden {
			return namespace.Forbidden("a lab", errors.New(a.Error))
		}
		if a.Error != "" {
			return errors.New(a.Error)
		}
	}
	return nil
}

// namespaces are those of a lab: a user who is root in there, and everything that only root may have of its own.
func namespaces() *unix.SysProcAttr {
	uids := []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}}
	gids := []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}}
	if os.Geteuid() == 0 {
		if all := identityMap("/proc/self/uid_map"); all != nil {
			uids = all
		}
		if all := identityMap("/proc/self/gid_map"); all != nil {
			gids = all
		}
	}
	return &unix.SysProcAttr{
		Setsid: true,
		Cloneflags: unix.CLONE_NEWUSER | unix.CLONE_NEWPID | unix.CLONE_NEWNS | unix.CLONE_NEWNET | unix.CLONE_NEWUTS |
			unix.CLONE_NEWIPC,
		UidMappings: uids, GidMappings: gids, GidMappingsEnableSetgroups: os.Geteuid() == 0,
	}
}

// identityMap returns all users, or groups, that there are here: root may have them all in a lab.
func identityMap(file string) (all []syscall.SysProcIDMap) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil
	}
	for line := range strings.Lines(string(text)) {
		var inside, outside, size int64
		if n, _ := fmt.Sscan(line, &inside, &outside, &size); n != 3 {
			return nil
		}
		all = append(all, syscall.SysProcIDMap{ContainerID: int(inside), HostID: int(inside), Size: int(min(size, 1<<31-1-inside))})
	}
	return all
}

// forbidden explains why the system does not make namespaces.
func forbidden(err error) error {
	if !namespace.Refused(err) {
		return fmt.Errorf("cannot start the process of the lab: %w", err)
	}
	return namespace.Forbidden("a lab", err)
}

// ForbiddenError is the error of a system that does not let this user have a lab.
type ForbiddenError = namespace.ForbiddenError

// shared returns the paths of what all hosts see, which has to be there.
func shared(paths []string) ([]string, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	var all []string
	for _, path := range append([]string{program}, paths...) {
		absolute, err := filepath.Abs(path)
		if err == nil {
			absolute, err = filepath.EvalSymlinks(absolute)
		}
		if errors.Is(err, fs.ErrNotExist) && path == program {
			continue // it was removed while it runs, and nobody can be shown it
		}
		if err != nil {
			return nil, fmt.Errorf("cannot share %s: %w", path, err)
		}
		if slices.Contains([]string{"/", "/proc", "/dev", "/run", "/tmp"}, absolute) {
			return nil, fmt.Errorf("cannot share %s, of which every host has its own: share a folder in it", path)
		}
		all = append(all, absolute)
	}
	if len(all) > protocol.MaxFiles/2 {
		return nil, fmt.Errorf("cannot share %d folders: give up to %d", len(all), protocol.MaxFiles/2)
	}
	slices.Sort(all) // what is mounted on another mount comes after it
	return slices.Compact(all), nil
}

// homeFolder is the home folder that every host has of its own, "" if there is none that can be.
func homeFolder() string {
	dir, err := os.UserHomeDir()
	if err != nil || !filepath.IsAbs(dir) || filepath.Clean(dir) == "/" {
		return ""
	}
	dir, err = filepath.EvalSymlinks(dir)
	if err != nil {
		return ""
	}
	return dir
}

// Close ends a lab of [Up], and returns when nothing of it is left. Another one it leaves.
func (l *Lab) Close() error {
	if l.process == nil {
		return nil
	}
	_ = l.life.Close()
	_ = l.process.Wait() // its exit code says nothing
	return nil
}

// Down ends a lab, and returns when nothing runs in it any more. The error is [ErrNone] if there is none.
func (l *Lab) Down(ctx context.Context) error {
	_, _, err := l.ask(ctx, protocol.Request{Op: protocol.OpDown})
	if errors.Is(err, errEnded) { // by somebody else, at the same time
		return nil
	}
	return err
}

// errEnded is the error of asking what ends before it answers.
var errEnded = errors.New("has ended before it answered")

// ask sends a protocol.Request, and returns the answer and the descriptors that come with it. If the context ends first, the
// lab drops the request.
func (l *Lab) ask(ctx context.Context, r protocol.Request, files ...*os.File) (protocol.Answer, []*os.File, error) {
	var a protocol.Answer
	c, err := net.DialUnix("unixpacket", nil, &net.UnixAddr{Name: l.address, Net: "unixpacket"})
	switch {
	case errors.Is(err, unix.ECONNREFUSED):
		return a, nil, ErrNone
	case err != nil:
		return a, nil, err
	}
	defer c.Close()
	if !protocol.IsFrom(c, os.Geteuid()) {
		return a, nil, errors.New("another user listens where this lab does: choose another DIVISI_HOME")
	}
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	defer stop()

	err = protocol.Send(c, r, files...)
	var back []*os.File
	if err == nil {
		back, err = protocol.Receive(c, &a)
	}
	switch {
	case ctx.Err() != nil:
		protocol.CloseAll(back)
		return a, nil, ctx.Err()
	case errors.Is(err, io.EOF) || errors.Is(err, unix.ECONNRESET):
		return a, nil, fmt.Errorf("%s %w", what(r), errEnded)
	case err != nil:
		return a, nil, err
	case a.Error != "":
		return a, back, errors.New(a.Error)
	}
	return a, back, nil
}

// what says who was asked.
func what(r protocol.Request) string {
	if r.Host != "" {
		return r.Host
	}
	return "the lab"
}

// Status tells what the lab has.
func (l *Lab) Status(ctx context.Context) (*protocol.Status, error) {
	a, _, err := l.ask(ctx, protocol.Request{Op: protocol.OpStatus})
	if err == nil && a.Status == nil {
		err = errors.New("the lab does not say what it has")
	}
	return a.Status, err
}

// Change changes the link between two hosts in both directions.
func (l *Lab) Change(ctx context.Context, a, b string, c fabric.Change) error {
	_, _, err := l.ask(ctx, protocol.Request{Op: protocol.OpChange, Host: a, To: b, Change: &c})
	return err
}

// ChangeWay changes one direction of the link between two hosts.
func (l *Lab) ChangeWay(ctx context.Context, from, to string, c fabric.Change) error {
	_, _, err := l.ask(ctx, protocol.Request{Op: protocol.OpChange, Host: from, To: to, OneWay: true, Change: &c})
	return err
}

// Heal makes all links as good as new. Hosts that have no link get none.
func (l *Lab) Heal(ctx context.Context) error {
	_, _, err := l.ask(ctx, protocol.Request{Op: protocol.OpHeal})
	return err
}

// Host returns a host by its name. Whether there is one, what is done with it says.
func (l *Lab) Host(name string) *Host { return &Host{lab: l, name: name} }

// Hosts returns all hosts, in their order.
func (l *Lab) Hosts() []*Host {
	var list []*Host
	for _, name := range l.names {
		list = append(list, l.Host(name))
	}
	return list
}
