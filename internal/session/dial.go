package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"time"

	"github.com/divisi-go/divisi/internal/pipe"
)

const (
	// firstWait and lastWait bound the wait before the weavelet dials: a random time below a bound that
	// doubles, so that the weavelets of a deployer that has gone do not come back all at once.
	firstWait = 50 * time.Millisecond
	lastWait  = 500 * time.Millisecond

	// firstWord is how long a connection waits for a deployer to speak. Where somebody holds the socket
	// for deployers, it waits in the queue until one comes; but one that was accepted by a deployer that
	// stands still must not wait for ever.
	firstWord = time.Minute

	// silence is how long a deployer may say nothing, and at most a third longer. One that stands still, and
	// has perhaps been succeeded, is left. Only time in which the weavelet itself runs counts: it looks several times.
	silence = 5 * time.Second
	looks   = 3
)

// newReason is how often it is said that there is no deployer, if the reason is another one.
const newReason = time.Minute

var errSilent = fmt.Errorf("it has said nothing for %v", silence)

// attend returns when a conversation is over, or its deployer is silent, with the reason.
func attend(ctx context.Context, c *pipe.Weavelet) error {
	look := time.NewTicker(silence / looks)
	defer look.Stop()
	for quiet := 0; ; {
		select {
		case <-look.C:
			quiet++
			if c.Heard() {
				quiet = 0
			}
			if quiet == looks {
				c.Close()
				return errSilent
			}
		case <-c.Over():
			return pipe.ErrClosed
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// meet dials until a handshake has succeeded. It returns nil when ctx has ended.
func (s *Session) meet(ctx context.Context, log *slog.Logger,
	greet func(net.Conn) (*pipe.Weavelet, error)) *pipe.Weavelet {
	said, since := "", time.Time{}
	if s.info.App != "" {
		since = time.Now() // it is no fault that there is none for a while
	}
	for bound := firstWait; ; bound = min(2*bound, lastWait) {
		select {
		case <-time.After(rand.N(bound)):
		case <-ctx.Done():
			return nil
		}

		c, err := s.try(ctx, greet)
		switch {
		case err == nil:
			return c
		case ctx.Err() == nil && err.Error() != said && time.Since(since) >= newReason:
			said, since = err.Error(), time.Now()
			log.Warn("cannot converse with a deployer: trying again and again", "err", err)
		}
	}
}

// try dials once.
func (s *Session) try(ctx context.Context, greet func(net.Conn) (*pipe.Weavelet, error)) (*pipe.Weavelet, error) {
	conn, err := s.dial(ctx)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()

	conn.SetReadDeadline(time.Now().Add(firstWord))
	c, err := greet(conn)
	if err != nil {
		if errors.Is(err, io.EOF) {
			err = errors.New("the deployer hangs up without a word")
		}
		return nil, errors.Join(err, conn.Close())
	}
	conn.SetReadDeadline(time.Time{})
	return c, nil
}

// first is told what the weavelet is to be.
func (s *Session) first(conn net.Conn) (*pipe.Weavelet, error) {
	c, info, err := pipe.NewWeavelet(io.NopCloser(conn), conn)
	if err != nil {
		return nil, err
	}
	if len(info.Features) == 0 {
		return nil, unlisted(c)
	}

	s.info = *info
	return c, nil
}

// next is told who has taken over, and tells it what the weavelet is.
func (s *Session) next(conn net.Conn) (*pipe.Weavelet, error) {
	s.mu.Lock()
	before, hello, host := s.info, *s.hello, s.host
	s.mu.Unlock()

	c, info, err := pipe.NextWeavelet(io.NopCloser(conn), conn, &before)
	if err != nil {
		return nil, err
	}
	if len(info.Features) == 0 {
		return nil, unlisted(c)
	}

	s.mu.Lock()
	s.info.Epoch = info.Epoch
	s.mu.Unlock()
	if host != nil {
		host.Describe(&hello)
	}
	return c, c.Hello(&hello)
}

// unlisted refuses an envelope that does not know what a second conversation is.
func unlisted(c *pipe.Weavelet) error {
	return c.Refuse("the EnvelopeInfo lists no features: an envelope that weavelets dial has some")
}
