//go:build linux

package link

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/divisi-go/divisi/internal/home"
	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/keeper/frame"
	"github.com/divisi-go/divisi/internal/keeper/refusal"
)

// Link is a connection that is attached.
type Link struct {
	Conn   *frame.Conn
	Served chan struct{} // closed when nothing is left of the connection
	Ended  atomic.Bool   // the keeper was shut down
	Welcome
}

// handle answers what the keeper asks.
func (l *Link) handle(_ context.Context, r *frame.Request) (any, []*os.File, error) {
	if r.Verb != Farewell {
		return nil, nil, frame.Unknown(r.Verb)
	}
	l.Ended.Store(true)
	return nil, nil, nil
}

// Close ends the connection, and returns when nothing is left of it.
func (l *Link) Close() {
	l.Conn.Close()
	<-l.Served
}

// ErrAbsent is the error of a keeper that does not answer: there is none, or it just ends.
var ErrAbsent = errors.New("no keeper answers")

// Reach attaches to the keeper of a home. If there is none, or it just ends, the error is [ErrAbsent].
func Reach(ctx context.Context, h home.Home, c keeper.Claim) (*Link, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	conn, err := Dial(ctx, h.Keeper().Door)
	if err != nil {
		return nil, err
	}
	return begin(ctx, frame.New(conn), c)
}

// ReachOver attaches to a keeper on another host, over a connection to its door, which the link owns. No files can be passed.
func ReachOver(ctx context.Context, far net.Conn, c keeper.Claim) (*Link, error) {
	near, err := relayed(far)
	if err != nil {
		return nil, errors.Join(err, far.Close())
	}
	stop := context.AfterFunc(ctx, func() { _ = near.SetDeadline(time.Unix(1, 0)) })
	err = upgradeConn(near, "the other host", FilesHeader+": "+NoFiles+"\r\n")
	if !stop() {
		err = fmt.Errorf("%w: %w", ErrAbsent, context.Cause(ctx))
	}
	if err != nil {
		return nil, errors.Join(err, near.Close())
	}
	return begin(ctx, frame.NewPlain(near), c)
}

// begin attaches over a connection.
func begin(ctx context.Context, conn *frame.Conn, c keeper.Claim) (*Link, error) {
	l := &Link{Conn: conn, Served: make(chan struct{})}
	go func() {
		defer close(l.Served)
		_ = l.Conn.Serve(context.Background(), l.handle) // its end is the news
	}()
	if err := l.attach(ctx, c); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// Dial returns a connection that speaks frames.
func Dial(ctx context.Context, path string) (*net.UnixConn, error) {
	var d net.Dialer
	plain, err := d.DialContext(ctx, "unix", path)
	if err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, absent(err)
	}
	conn := plain.(*net.UnixConn)
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	if err = checkPeer(conn, path); err == nil {
		err = upgradeConn(conn, path, "")
	}
	if !stop() {
		err = fmt.Errorf("the keeper does not answer: %w", context.Cause(ctx))
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

// absent returns an error of a connection as one of a keeper that is not there, if it may be one.
func absent(err error) error {
	for _, sign := range []error{syscall.ECONNREFUSED, fs.ErrNotExist, syscall.ECONNRESET, syscall.EPIPE,
		syscall.EAGAIN, io.EOF, io.ErrUnexpectedEOF, frame.ErrClosed} {
		if errors.Is(err, sign) {
			return fmt.Errorf("%w: %w", ErrAbsent, err)
		}
	}
	return err
}

// checkPeer says whether the keeper is this user's.
func checkPeer(conn *net.UnixConn, path string) error {
	peer, err := Peer(conn)
	if err != nil {
		return err
	}
	if peer.Uid != 0 && int(peer.Uid) != os.Getuid() {
		return fmt.Errorf("the keeper at %s belongs to another user (%d): set DIVISI_HOME to a folder of your own", path, peer.Uid)
	}
	return nil
}

// upgradeConn has a connection upgraded to frames, with more headers.
func upgradeConn(conn *net.UnixConn, path, headers string) error {
	_, err := io.WriteString(conn, "POST /v1/attach HTTP/1.1\r\nHost: divisi\r\nConnection: Upgrade\r\nUpgrade: "+Upgrade+"\r\n"+headers+"\r\n")
	if err != nil {
		return absent(err)
	}

	answer := bufio.NewReader(conn)
	response, err := http.ReadResponse(answer, nil)
	switch {
	case err != nil:
		return absent(err)
	case response.StatusCode == http.StatusSwitchingProtocols && answer.Buffered() == 0:
		return nil
	}
	defer response.Body.Close()
	var e frame.Error
	text, _ := io.ReadAll(io.LimitReader(response.Body, maxWords))
	if json.Unmarshal(text, &e) == nil && e.Text != "" {
		return refusal.Understood(&e)
	}
	return fmt.Errorf("%w: who listens at %s answers %s", refusal.ErrProtocol, path, response.Status)
}

// maxWords bounds what is heard of who refuses to upgrade.
const maxWords = 4 << 10

// most is how long one request waits for the end of somebody else's claim, so that it is known who
// that is whenever the client gives up.
const most = time.Second

// attach claims the domain. It waits for the claim of somebody else, as a [hold.Session] does.
func (l *Link) attach(ctx context.Context, c keeper.Claim) error {
	var held error
	for patience := time.Duration(0); ; patience = most {
		_, err := l.Conn.Call(ctx, "attach", Hello{Protocol, c, patience}, nil, &l.Welcome)
		switch err = refusal.Understood(err); {
		case err == nil && (l.Protocol < Oldest || l.Protocol > Protocol):
			return fmt.Errorf("%w: %d; this program knows %d: end it with the program that started it (%s), or use that one",
				refusal.ErrProtocol, l.Protocol, Protocol, l.Keeper.Program)
		case err == nil:
			return nil
		case ctx.Err() != nil && held != nil:
			return held
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case !errors.Is(err, keeper.ErrHeld):
			return absent(err)
		}
		held = err
	}
}

// Peer returns who is at the other end.
func Peer(conn *net.UnixConn) (*syscall.Ucred, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, err
	}
	var peer *syscall.Ucred
	var peerErr error
	err = raw.Control(func(fd uintptr) {
		peer, peerErr = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	})
	return peer, errors.Join(err, peerErr)
}
