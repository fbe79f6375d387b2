package protocol

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// The bounds of what the processes of a lab say to each other: a packet, and the descriptors that come with it.
const (
	maxPacket = 64 << 10
	MaxFiles  = 64
)

// Send sends a value as one packet, with descriptors, which stay open here.
func Send(c *net.UnixConn, value any, files ...*os.File) error {
	text, err := json.Marshal(value)
	if err != nil {
		return err
	}
	if len(text) > maxPacket {
		return fmt.Errorf("%d bytes of arguments and environment are more than the %d that a lab hands over", len(text), maxPacket)
	}

	var fds []int
	for _, f := range files {
		raw, err := f.SyscallConn()
		if err != nil {
			return err
		}
		if err := raw.Control(func(fd uintptr) { fds = append(fds, int(fd)) }); err != nil {
			return err
		}
	}
	var rights []byte
	if len(fds) > 0 {
		rights = unix.UnixRights(fds...)
	}
	_, _, err = c.WriteMsgUnix(text, rights, nil)
	return err
}

// Receive reads one packet into a value, and returns the descriptors that came with it. The end is [io.EOF].
func Receive(c *net.UnixConn, value any) (files []*os.File, err error) {
	text, rights := make([]byte, maxPacket+1), make([]byte, unix.CmsgSpace(4*MaxFiles))
	n, more, flags, _, err := c.ReadMsgUnix(text, rights)
	if err != nil {
		return nil, err
	}
	files, err = taken(rights[:more])
	if err != nil {
		return nil, err
	}

	switch {
	case n == 0 && len(files) == 0:
		err = io.EOF
	case n > maxPacket || flags&(unix.MSG_TRUNC|unix.MSG_CTRUNC) != 0:
		err = errors.New("a packet is too long")
	default:
		err = json.Unmarshal(text[:n], value)
	}
	if err != nil {
		CloseAll(files)
		return nil, err
	}
	return files, nil
}

// taken returns the descriptors that control messages carry.
func taken(rights []byte) (files []*os.File, err error) {
	messages, err := unix.ParseSocketControlMessage(rights)
	if err != nil {
		return nil, err
	}
	for _, m := range messages {
		fds, err := unix.ParseUnixRights(&m)
		if err != nil {
			continue // the kernel tells of something else
		}
		for _, fd := range fds {
			files = append(files, os.NewFile(uintptr(fd), "received"))
		}
	}
	return files, nil
}

// CloseAll closes descriptors that were received.
func CloseAll(files []*os.File) {
	for _, f := range files {
		_ = f.Close() // what it was for has failed, or has its own copy
	}
}

// IsFrom reports whether the other end of a connection belongs to a user.
func IsFrom(c *net.UnixConn, uid int) bool {
	raw, err := c.SyscallConn()
	if err != nil {
		return false
	}
	var peer *unix.Ucred
	var failed error
	err = raw.Control(func(fd uintptr) { peer, failed = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) })
	return err == nil && failed == nil && int(peer.Uid) == uid
}

// Pair returns the two ends of a connection of packets: one for this process, one for a child.
func Pair() (own *net.UnixConn, child *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}
	child = os.NewFile(uintptr(fds[1]), "child")
	own, err = Connection(os.NewFile(uintptr(fds[0]), "own"))
	if err != nil {
		_ = child.Close()
		return nil, nil, err
	}
	return own, child, nil
}

// Connection returns a file as the connection that it is.
func Connection(f *os.File) (*net.UnixConn, error) {
	defer f.Close()
	c, err := net.FileConn(f)
	if err != nil {
		return nil, err
	}
	unixConn, ok := c.(*net.UnixConn)
	if !ok {
		_ = c.Close()
		return nil, errors.New("the descriptor is no Unix socket")
	}
	return unixConn, nil
}
