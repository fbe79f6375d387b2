//go:build unix

package notify

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"time"
)

// Keep has the supervisor keep a copy of a descriptor under a name, beside others that it keeps under it.
// When this process has ended, but is not to be stopped, the next one inherits the copies by LISTEN_FDS
// and LISTEN_FDNAMES, and the supervisor still has them.
func (s Supervisor) Keep(name string, fd int) error {
	if err := checkStoredName(name); err != nil {
		return fmt.Errorf("cannot have the supervisor keep %.40q: %w", name, err)
	}
	// FDPOLL: also one whose other end is closed, which a supervisor closes otherwise.
	return s.give(fd, "FDSTORE=1", "FDNAME="+name, "FDPOLL=0")
}

// give tells the supervisor lines, and sends it a copy of a descriptor with them.
func (s Supervisor) give(fd int, lines ...string) error {
	return s.tell(lines, func(c *net.UnixConn, text []byte) error {
		raw, err := c.SyscallConn()
		if err != nil {
			return err
		}
		var sendErr error
		err = raw.Write(func(socket uintptr) bool {
			sendErr = syscall.Sendmsg(int(socket), text, syscall.UnixRights(fd), nil, 0)
			return sendErr != syscall.EAGAIN
		})
		return errors.Join(err, sendErr)
	})
}

// Drop has the supervisor close what it keeps under a name.
func (s Supervisor) Drop(name string) error { return s.Send("FDSTOREREMOVE=1", "FDNAME="+name) }

// Settle returns when the supervisor has done what it was told before.
func (s Supervisor) Settle(ctx context.Context) error {
	if !s.Exists() {
		return nil
	}
	done, their, err := os.Pipe()
	if err != nil {
		return err
	}
	defer done.Close()
	raw, err := their.SyscallConn()
	if err == nil {
		var sendErr error
		err = raw.Control(func(fd uintptr) { sendErr = s.give(int(fd), "BARRIER=1") })
		err = errors.Join(err, sendErr)
	}
	if err := errors.Join(err, their.Close()); err != nil {
		return err
	}

	defer context.AfterFunc(ctx, func() { _ = done.SetReadDeadline(time.Unix(1, 0)) })()
	var nothing [1]byte
	_, err = done.Read(nothing[:]) // ends when the supervisor closes its end
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("the supervisor is busy: %w", context.Cause(ctx))
	}
	return nil
}
