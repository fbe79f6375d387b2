// Package session is what a weavelet has of its deployers: a conversation with one, and then with the
// next. Over pipes there is one conversation, and the session ends with it. Over a socket the weavelet
// dials, and dials again when the deployer has gone or is silent. What is asked while there is no
// deployer waits for the next one. A deployer that has been succeeded is refused.
package session

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"sync"

	"github.com/divisi-go/divisi/internal/message"
	"github.com/divisi-go/divisi/internal/pipe"
)

// Hosted is the weavelet, as deployers see it.
type Hosted interface {
	pipe.WeaveletHandler

	// Describe adds to the weavelet's half of the handshake what a deployer that takes over wants to know.
	Describe(*message.WeaveletInfo)

	// Resume is called when a deployer has taken over, to tell it again what those before know. It does
	// not wait.
	Resume(context.Context)
}

// Session is the conversations of one weavelet. Its methods may be called from any goroutine.
//
// When mu is free:
//   - current is nil, or a conversation whose handshake is done;
//   - the epoch in info never falls, and nothing else in it changes;
//   - changed is open, and closed with the next change of current or over;
//   - over never changes once it is set, and current is nil then.
type Session struct {
	dial func(context.Context) (net.Conn, error) // nil over pipes
	host Hosted                                  // nil until Serve

	mu      sync.Mutex            // guards what follows, and host
	info    message.EnvelopeInfo  // the first envelope's, with the epoch of the last one
	hello   *message.WeaveletInfo // what does not change of the weavelet's half
	current *pipe.Weavelet
	changed chan struct{}
	over    error // why there will be no conversation any more
}

// errEnded is the error of requests when the weavelet itself has ended the session.
var errEnded = errors.New("the weavelet has ended its session with deployers")

// Pipes begins the conversation over a pair of pipes. Hello completes its handshake.
func Pipes(r io.ReadCloser, w io.WriteCloser) (*Session, *message.EnvelopeInfo, error) {
	c, info, err := pipe.NewWeavelet(r, w)
	if err != nil {
		return nil, nil, err
	}
	return &Session{info: *info, current: c, changed: make(chan struct{})}, info, nil
}

// Dial begins a session over a socket. It returns when a deployer has said what the weavelet is to be,
// or the context has ended. Hello completes the handshake. If there is a boot record, and no deployer for a
// while, the weavelet is what the record says, and the session begins without a deployer.
func Dial(ctx context.Context, dial func(context.Context) (net.Conn, error), boot *Boot, log *slog.Logger) (
	*Session, *message.EnvelopeInfo, error) {
	s := &Session{dial: dial, changed: make(chan struct{})}
	meeting, cancel := ctx, context.CancelFunc(func() {})
	if boot != nil {
		meeting, cancel = context.WithTimeout(ctx, bootTime)
	}
	s.current = s.meet(meeting, log, s.first)
	cancel()

	switch {
	case s.current != nil:
	case ctx.Err() != nil:
		return nil, nil, context.Cause(ctx)
	default:
		log.Warn("there is no deployer: starting as the last one has left word")
		s.info = *boot.Info
	}
	info := s.info
	return s, &info, nil
}

// Hello sends the weavelet's half of the first handshake. Those that follow get the same, with what has
// come about.
func (s *Session) Hello(info *message.WeaveletInfo) error {
	s.mu.Lock()
	if s.dial != nil {
		info.Id = s.info.Id
	}
	s.hello = info
	c := s.current
	s.mu.Unlock()
	if c == nil {
		return nil // the deployer that comes is told
	}

	err := c.Hello(info)
	if err != nil && s.dial != nil {
		c.Close() // Keep finds the next deployer
		return nil
	}
	return err
}

// Keep sees to it that there is a deployer, until ctx ends. Over pipes there is nothing to do.
func (s *Session) Keep(ctx context.Context, log *slog.Logger) {
	if s.dial == nil {
		return
	}

	s.mu.Lock()
	c := s.current
	s.mu.Unlock()
	for {
		if c != nil {
			reason := attend(ctx, c)
			if ctx.Err() != nil {
				return // what is to be told yet is told to this deployer
			}
			s.set(nil)
			log.Info("the deployer has gone: going on without one", "reason", reason)
		}

		if c = s.meet(ctx, log, s.next); c == nil {
			return
		}
		s.set(c)
		log.Info("a deployer has taken over")
	}
}

// Serve answers deployers until ctx ends, or the only conversation is over, and returns why.
func (s *Session) Serve(ctx context.Context, h Hosted) error {
	s.mu.Lock()
	s.host = h
	s.mu.Unlock()

	var before *pipe.Weavelet
	for {
		c, err := s.after(ctx, before)
		if err != nil {
			return err
		}
		if before != nil {
			h.Resume(ctx)
		}
		err = c.Serve(ctx, h)
		if s.dial == nil || ctx.Err() != nil {
			return err
		}
		before = c
	}
}

// Attended reports whether there is a deployer.
func (s *Session) Attended() bool {
	attended, _ := s.Attendance()
	return attended
}

// Attendance reports whether there is a deployer. The channel is closed when that may have changed.
func (s *Session) Attendance() (attended bool, changed <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.current != nil, s.changed
}

// Await waits until there is a deployer. Over pipes there is no other one to wait for.
func (s *Session) Await(ctx context.Context) error {
	_, err := s.after(ctx, nil)
	return err
}

// Close ends the session.
func (s *Session) Close() error {
	s.mu.Lock()
	c := s.current
	s.current, s.over = nil, errEnded
	close(s.changed)
	s.changed = make(chan struct{})
	s.mu.Unlock()

	if c == nil {
		return nil
	}
	return c.Close()
}

// set takes the conversation with the next deployer; nil is none.
func (s *Session) set(c *pipe.Weavelet) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over != nil {
		if c != nil {
			c.Close()
		}
		return
	}
	s.current = c
	close(s.changed)
	s.changed = make(chan struct{})
}

// after returns the conversation that there is, or the next one if it is the given one.
func (s *Session) after(ctx context.Context, before *pipe.Weavelet) (*pipe.Weavelet, error) {
	for {
		s.mu.Lock()
		c, changed, over := s.current, s.changed, s.over
		s.mu.Unlock()
		switch {
		case over != nil:
			return nil, over
		case c != nil && c != before:
			return c, nil
		}

		select {
		case <-changed:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}
