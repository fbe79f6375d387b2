//go:build linux

package door

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

// link is a connection that is attached.
type link struct {
	conn   *frame.Conn
	served chan struct{} // closed when nothing is left of the connection
	ended  atomic.Bool   // the keeper was shut down
	welcome
}

// handle answers what the keeper asks.
func (l *link) handle(_ context.Context, r *frame.Request) (any, []*os.File, error) {
	if r.Verb != farewell {
		return nil, nil, frame.Unknown(r.Verb)
	}
	l.ended.Store(true)
	return nil, nil, nil
}

func (l *link) close() {
	l.conn.Close()
	<-l.served
}

// errAbsent is the error of a keeper that does not answer: there is none, or it just ends.
var errAbsent = errors.New("no keeper answers")

// Bounds of looking for a keeper.
const (
	firstPause = 5 * time.Millisecond
	lastPause  = 250 * time.Millisecond
	stayTime   = 30 * time.Second // for a keeper that is started to answer; one before it may take its time to end
)

// connect attaches to the keeper of a home, and starts one if none answers.
func connect(ctx context.Context, h home.Home, c keeper.Claim) (*link, error) {
	begin := time.Now()
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		l, err := reach(ctx, h, c)
		if !errors.Is(err, errAbsent) {
			return l, err
		}
		if time.Since(begin) > stayTime {
			return nil, fmt.Errorf("%w, and none stays that is started: see %s", err, logOf(h))
		}

		if refuses(err) {
			if err := start(ctx, h); err != nil {
				return nil, err
			}
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: %w", context.Cause(ctx), err)
		}
	}
}

// refuses reports whether nobody listens.
func refuses(err error) bool {
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, fs.ErrNotExist)
}

// reach attaches to the keeper that there is.
func reach(ctx context.Context, h home.Home, c keeper.Claim) (*link, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	conn, err := dial(ctx, h.Keeper().Door)
	if err != nil {
		return nil, err
	}

	l := &link{conn: frame.New(conn), served: make(chan struct{})}
	go func() {
		defer close(l.served)
		_ = l.conn.Serve(context.Background(), l.handle) // its end is the news
	}()
	if err := l.attach(ctx, c); err != nil {
		l.close()
		return nil, err
	}
	return l, nil
}

// dial returns a connection that speaks frames.
func dial(ctx context.Context, path string) (*net.UnixConn, error) {
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
	err = upgradeConn(conn, path)
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
			return fmt.Errorf("%w: %w", errAbsent, err)
		}
	}
	return err
}

// upgradeConn has a connection upgraded to frames.
func upgradeConn(conn *net.UnixConn, path string) error {
	peer, err := peerOf(conn)
	if err != nil {
		return err
	}
	if peer.Uid != 0 && int(peer.Uid) != os.Getuid() {
		return fmt.Errorf("the keeper at %s belongs to another user (%d): set DIVISI_HOME to a folder of your own", path, peer.Uid)
	}
	_, err = io.WriteString(conn, "POST /v1/attach HTTP/1.1\r\nHost: divisi\r\nConnection: Upgrade\r\nUpgrade: "+upgrade+"\r\n\r\n")
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

// most is how long one request waits for the end of somebody else's claim, so that it is known who
// that is whenever the client gives up.
const most = time.Second

// attach claims the domain. It waits for the claim of somebody else, as a [hold.Session] does.
func (l *link) attach(ctx context.Context, c keeper.Claim) error {
	var held error
	for patience := time.Duration(0); ; patience = most {
		_, err := l.conn.Call(ctx, "attach", hello{Protocol, c, patience}, nil, &l.welcome)
		switch err = refusal.Understood(err); {
		case err == nil && (l.Protocol < oldest || l.Protocol > Protocol):
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
