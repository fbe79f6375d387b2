package ssh

import (
	"context"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"
)

const (
	connectTime = 30 * time.Second
	askTime     = time.Second
	askAfter    = 5  // times askTime without a byte, after which the machine is asked whether it is there
	cutAfter    = 15 // after which the connection is over
)

// line is one connection.
type line struct {
	client *ssh.Client
	conn   *heard
	over   chan struct{} // closed when it has ended
}

// heard notes whether anything is heard of the other end.
type heard struct {
	net.Conn
	news atomic.Bool
}

func (h *heard) Read(p []byte) (int, error) {
	n, err := h.Conn.Read(p)
	if n > 0 {
		h.news.Store(true)
	}
	return n, err
}

func (l *line) ended() bool {
	select {
	case <-l.over:
		return true
	default:
		return false
	}
}

// connect makes a connection.
func (m *Machine) connect(ctx context.Context) (*line, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTime)
	defer cancel()
	keys, err := m.options.hostKeys(m.to)
	if err != nil {
		return nil, err
	}
	who, err := m.options.login(ctx, m.to)
	if err != nil {
		return nil, err
	}
	defer who.close()

	var d net.Dialer
	plain, err := d.DialContext(ctx, "tcp", m.to.address())
	if err != nil {
		return nil, fmt.Errorf("%w: see whether an SSH server listens there", err)
	}
	defer context.AfterFunc(ctx, func() { plain.Close() })()
	conn := &heard{Conn: plain}
	config := &ssh.ClientConfig{
		User: m.to.user, Auth: []ssh.AuthMethod{ssh.PublicKeysCallback(who.signers)},
		HostKeyCallback: keys.check, HostKeyAlgorithms: keys.algorithms(),
	}
	encrypted, channels, requests, err := ssh.NewClientConn(conn, m.to.address(), config)
	switch {
	case ctx.Err() != nil && err != nil:
		return nil, context.Cause(ctx)
	case keys.wrong != nil:
		return nil, keys.wrong
	case err != nil && who.asked:
		return nil, who.refused(err)
	case err != nil:
		return nil, fmt.Errorf("%w: see whether it is an SSH server that listens there", err)
	}

	l := &line{ssh.NewClient(encrypted, channels, requests), conn, make(chan struct{})}
	go func() {
		defer close(l.over)
		_ = l.client.Wait() // how it ends does not matter
	}()
	go l.watch()
	return l, nil
}

// watch ends the connection when nothing is heard any more, though the machine is asked. Silence is counted in ticks, of which
// there are none while this process stands still.
func (l *line) watch() {
	tick := time.NewTicker(askTime)
	defer tick.Stop()
	ask := make(chan struct{}, 1)
	defer close(ask)
	go func() {
		for range ask {
			_, _, _ = l.client.SendRequest("keepalive@openssh.com", true, nil) // any answer is one
		}
	}()

	for silent := 1; ; silent++ {
		select {
		case <-tick.C:
		case <-l.over:
			return
		}
		if l.conn.news.Swap(false) {
			silent = 0
		}
		switch {
		case silent >= cutAfter:
			_ = l.conn.Close() // it is over
		case silent >= askAfter:
			select {
			case ask <- struct{}{}:
			default: // it is being asked
			}
		}
	}
}
