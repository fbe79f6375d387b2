//go:build unix

// Package bind opens listening sockets that are held as plain descriptors: an os.File would take a
// socket, and with it all processes that share it, out of non-blocking mode when asked for its number.
package bind

import (
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/keeper/fork"
)

// Socket is a listening socket. Whoever has it closes the descriptor, and removes the path of a Unix
// socket.
type Socket struct {
	Descriptor int    // not inherited
	Address    string // where it listens
	Inode      uint64 // by which it is found in processes; 0 if nobody knows
}

// Listen is [net.Listen]. It takes the place of a Unix socket that nobody listens at any more. The socket of the network
// [keeper.Handed] is what is handed out at an address.
func Listen(network, address string) (Socket, error) {
	listen := net.Listen
	if network == keeper.Handed {
		listen = handed
	}
	l, err := listen(network, address)
	if errors.Is(err, syscall.EADDRINUSE) && network == "unix" && abandoned(address) {
		l, err = net.Listen(network, address)
	}
	if err != nil {
		return Socket{}, err
	}
	defer l.Close()
	if unix, ok := l.(*net.UnixListener); ok {
		unix.SetUnlinkOnClose(false)
	}
	raw, err := l.(syscall.Conn).SyscallConn()
	if err != nil {
		return Socket{}, err
	}

	s := Socket{Address: l.Addr().String()}
	var dupErr error
	if err := raw.Control(func(fd uintptr) { s.Descriptor, dupErr = fork.Dup(int(fd)) }); err != nil {
		return Socket{}, err
	}
	if dupErr != nil {
		return Socket{}, fmt.Errorf("cannot keep the socket %s: %w", address, dupErr)
	}
	var info syscall.Stat_t
	if err := syscall.Fstat(s.Descriptor, &info); err == nil {
		s.Inode = uint64(info.Ino)
	}

	return s, nil
}

// handTime bounds how long a socket may take to be handed out.
const handTime = 10 * time.Second

// handed returns the listening socket that is handed out at the Unix socket with a path.
func handed(_, path string) (net.Listener, error) {
	conn, err := net.DialTimeout("unix", path, handTime)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(handTime)); err != nil {
		return nil, err
	}
	room := make([]byte, syscall.CmsgSpace(4))
	_, n, _, _, err := conn.(*net.UnixConn).ReadMsgUnix(make([]byte, 1), room)
	if err != nil {
		return nil, fmt.Errorf("nothing is handed out at %s: %w", path, err)
	}
	messages, err := syscall.ParseSocketControlMessage(room[:n])
	if err != nil || len(messages) != 1 {
		return nil, errors.Join(fmt.Errorf("nothing is handed out at %s", path), err)
	}
	fds, err := syscall.ParseUnixRights(&messages[0])
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fds[0]), path)
	defer f.Close()
	return net.FileListener(f)
}

// abandoned removes a Unix socket that nobody listens at any more, as a killed keeper leaves them.
// A file that is no socket refuses connections as well, and stays.
func abandoned(path string) bool {
	info, err := os.Lstat(path)
	if err != nil || info.Mode().Type() != os.ModeSocket {
		return false
	}
	conn, err := net.Dial("unix", path)
	if err == nil {
		conn.Close()
	}
	return errors.Is(err, syscall.ECONNREFUSED) && os.Remove(path) == nil
}
