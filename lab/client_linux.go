package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/divisi-go/divisi/lab/disk"
	"github.com/divisi-go/divisi/lab/protocol"
)

// Host is one host of a lab.
type Host struct {
	lab  *Lab
	name string
}

// Name returns the name of the host, which is a name in the network of the lab as well.
func (h *Host) Name() string { return h.name }

// Address returns the address of the host in the network of the lab, "" if there is no such host.
func (h *Host) Address() string {
	i := slices.Index(h.lab.names, h.name)
	if i < 0 {
		return ""
	}
	return protocol.AddressText(i)
}

// Command is a program to run inside of a host, as the user who has made the lab, who is root there. A name without
// a slash is looked up in PATH; other names mean files that the host sees.
type Command struct {
	Args []string
	Env  []string // default [Environ]
	Dir  string   // default this folder if the host has it, else /

	Stdin, Stdout, Stderr *os.File // default /dev/null
}

// outside are the variables that name folders of who has made the lab.
var outside = []string{"DIVISI_HOME", "XDG_RUNTIME_DIR", "XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME",
	"TMPDIR", "DBUS_SESSION_BUS_ADDRESS", "SSH_AUTH_SOCK"}

// Environ is the environment of this process, without the variables that name folders or sockets which a host does not have.
func Environ() []string {
	return slices.DeleteFunc(os.Environ(), func(pair string) bool {
		key, _, _ := strings.Cut(pair, "=")
		return slices.Contains(outside, key)
	})
}

// Run runs a program and returns its exit code when it has ended: 128 and the number of the signal if one has ended it.
// If the context ends first, the program and its group are killed.
func (h *Host) Run(ctx context.Context, c Command) (exit int, err error) {
	sent := &protocol.Command{Args: c.Args, Env: c.Env, Dir: c.Dir}
	if sent.Env == nil {
		sent.Env = Environ()
	}
	if sent.Dir == "" {
		sent.Try = true
		sent.Dir, err = os.Getwd()
		if err != nil {
			sent.Dir = "/"
		}
	}

	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return 0, err
	}
	defer null.Close()
	files := []*os.File{c.Stdin, c.Stdout, c.Stderr}
	for i, f := range files {
		if f == nil {
			files[i] = null
		}
	}
	a, _, err := h.lab.ask(ctx, protocol.Request{Op: protocol.OpRun, Host: h.name, Command: sent}, files...)
	return a.Exit, err
}

// maxOutput is how much Exec returns.
const maxOutput = 16 << 20

// Exec runs a program and returns what it has written, errors too, when it has ended. An exit code other than 0 is an
// error. What the program has left in the background goes on.
func (h *Host) Exec(ctx context.Context, args ...string) (string, error) {
	fd, err := unix.MemfdCreate("output", unix.MFD_CLOEXEC)
	if err != nil {
		return "", err
	}
	output := os.NewFile(uintptr(fd), "output")
	defer output.Close()

	exit, err := h.Run(ctx, Command{Args: args, Stdout: output, Stderr: output})
	if err != nil {
		return "", err
	}
	text, err := io.ReadAll(io.NewSectionReader(output, 0, maxOutput))
	if err == nil && exit != 0 {
		err = fmt.Errorf("%s on %s: exit code %d: %s", strings.Join(args, " "), h.name, exit, strings.TrimSpace(string(text)))
	}
	return string(text), err
}

// dialTime bounds how long a host tries to connect, for contexts that do not.
const dialTime = time.Minute

// Dial connects from inside of the host. Names mean what they mean there.
func (h *Host) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	limit := dialTime
	if deadline, ok := ctx.Deadline(); ok {
		limit = min(limit, time.Until(deadline))
	}
	_, files, err := h.lab.ask(ctx, protocol.Request{Op: protocol.OpDial, Host: h.name, Network: network, Address: address, Timeout: limit})
	f, err := only(files, err)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return net.FileConn(f)
}

// Listen listens inside of the host. Connections are accepted by this process.
func (h *Host) Listen(ctx context.Context, network, address string) (net.Listener, error) {
	_, files, err := h.lab.ask(ctx, protocol.Request{Op: protocol.OpListen, Host: h.name, Network: network, Address: address})
	f, err := only(files, err)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return net.FileListener(f)
}

// ListenPacket opens a socket for datagrams inside of the host: network is udp, udp4 or udp6.
func (h *Host) ListenPacket(ctx context.Context, network, address string) (net.PacketConn, error) {
	_, files, err := h.lab.ask(ctx, protocol.Request{Op: protocol.OpListen, Host: h.name, Network: network, Address: address})
	f, err := only(files, err)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return net.FilePacketConn(f)
}

// only returns the one descriptor of an answer.
func only(files []*os.File, err error) (*os.File, error) {
	if err == nil && len(files) != 1 {
		err = errors.New("the answer of the host has no socket")
	}
	if err != nil {
		protocol.CloseAll(files)
		return nil, err
	}
	return files[0], nil
}

// Kill takes the power of the host: all its processes end at once, and what is not on a disk is gone.
func (h *Host) Kill(ctx context.Context) error {
	_, _, err := h.lab.ask(ctx, protocol.Request{Op: protocol.OpKill, Host: h.name})
	return err
}

// Boot gives the host its power back. Nothing runs there then.
func (h *Host) Boot(ctx context.Context) error {
	_, _, err := h.lab.ask(ctx, protocol.Request{Op: protocol.OpBoot, Host: h.name})
	return err
}

// Disk gives the host a disk of a size in bytes, mounted at a path. It is in memory, has no faults, and outlives power cuts.
func (h *Host) Disk(ctx context.Context, path string, size int64) error {
	_, _, err := h.lab.ask(ctx, protocol.Request{Op: protocol.OpDisk, Host: h.name, Path: path, Size: size})
	return err
}

// FaultyDisk changes how well a disk works that the host has at a path. If there is none, the host gets one of a size in
// bytes, 0 for 64 MB: a disk in memory that can be slow, full, failing and forgetful.
func (h *Host) FaultyDisk(ctx context.Context, path string, size int64, c disk.Change) error {
	_, _, err := h.lab.ask(ctx, protocol.Request{Op: protocol.OpDisk, Host: h.name, Path: path, Size: size, Disk: &c})
	return err
}

// Clock has the host's wall clock be wrong by an offset, from now on and after power cuts. Programs made with Divisi
// see it where times of several machines are compared; all others have the clock of the machine.
func (h *Host) Clock(ctx context.Context, offset time.Duration) error {
	_, _, err := h.lab.ask(ctx, protocol.Request{Op: protocol.OpClock, Host: h.name, Offset: offset})
	return err
}
