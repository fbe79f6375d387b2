//go:build unix

// Package ear hears what servers say of themselves.
package ear

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/divisi-go/divisi/internal/keeper/fork"
	"github.com/divisi-go/divisi/internal/notify"
)

// Ear is the socket at which servers say how they are. A nil pointer hears nothing.
type Ear struct {
	socket *notify.Server
	stop   context.CancelFunc
	deaf   chan struct{} // closed when nothing is heard any more
}

// Open returns an ear at a socket in a folder, which it makes if there is none.
//
// Servers of other users cannot reach a folder of this one. The keeper of root, who alone has such
// servers, listens at a name of Linux's abstract namespace instead, which has the keeper's mark; who sends
// there is known as well.
func Open(dir, mark string) (*Ear, error) {
	path := filepath.Join(dir, "notify.sock")
	if os.Getuid() == 0 {
		path = "@divisi-" + mark
	} else if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	socket, err := notify.Listen(path)
	if err != nil {
		return nil, err
	}
	return &Ear{socket: socket}, nil
}

// TakeOver returns the ear that another program of this process has handed over.
func TakeOver(fd int, path string) (*Ear, error) {
	socket, err := notify.Adopt(path, os.NewFile(uintptr(fd), path))
	if err != nil {
		return nil, err
	}
	return &Ear{socket: socket}, nil
}

// pause is how long to wait where the system refuses to receive, as without memory.
const pause = 100 * time.Millisecond

// Hear has what is said handled from now on, one message after the other.
func (e *Ear) Hear(handle func(*notify.Message)) {
	var ctx context.Context
	ctx, e.stop = context.WithCancel(context.Background())
	e.deaf = make(chan struct{})
	go func() {
		defer close(e.deaf)
		for {
			err := e.socket.Serve(ctx, handle)
			if errors.Is(err, net.ErrClosed) || ctx.Err() != nil {
				return
			}
			time.Sleep(pause)
		}
	}()
}

// Deafen ends what [Ear.Hear] has begun. What is said from then on waits.
func (e *Ear) Deafen() {
	if e != nil && e.stop != nil {
		e.stop()
		<-e.deaf
	}
}

// HandOver returns a descriptor for the next program of this process, and the path that belongs to it. It
// is -1 without an ear.
func (e *Ear) HandOver() (fd int, path string, err error) {
	if e == nil {
		return -1, "", nil
	}

	f, err := e.socket.File()
	if err != nil {
		return -1, "", err
	}
	defer f.Close()
	own, err := fork.Descriptor(f)
	if err != nil {
		return -1, "", err
	}
	fd, err = fork.Dup(own)
	return fd, e.Path(), err
}

// Path returns where servers say how they are, "" if nobody hears them.
func (e *Ear) Path() string {
	if e == nil {
		return ""
	}
	return e.socket.Path()
}

// Close closes the socket, once what was heard is handled.
func (e *Ear) Close() error {
	if e == nil {
		return nil
	}
	e.Deafen()
	return e.socket.Close()
}
