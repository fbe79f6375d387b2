//go:build linux

package door

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"

	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/keeper/frame"
	"github.com/divisi-go/divisi/internal/keeper/hold"
	"github.com/divisi-go/divisi/internal/keeper/link"
	"github.com/divisi-go/divisi/internal/keeper/refusal"
)

// attached is one connection that has upgraded: a session of the keeper, once it has asked for one.
type attached struct {
	server *server
	conn   *frame.Conn
	rested chan struct{} // closed when it is not served any more

	mu      sync.Mutex // guards what follows; held while a session is begun
	session *hold.Session
}

func newAttached(s *server, conn *frame.Conn) *attached {
	return &attached{server: s, conn: conn, rested: make(chan struct{})}
}

// verb does what a request asks for. Files of the request that it does not take are closed.
type verb func(ctx context.Context, s *hold.Session, a link.Ask, r *frame.Request) (any, []*os.File, error)

// verbs are the methods of a session.
var verbs = map[string]verb{
	"listen": func(ctx context.Context, s *hold.Session, a link.Ask, _ *frame.Request) (any, []*os.File, error) {
		socket, err := s.Listen(ctx, orZero(a.Socket))
		return socket, nil, err
	},
	"unlisten": func(ctx context.Context, s *hold.Session, a link.Ask, _ *frame.Request) (any, []*os.File, error) {
		return nil, nil, s.Unlisten(ctx, a.Domain, a.Key)
	},
	"take": func(ctx context.Context, s *hold.Session, a link.Ask, _ *frame.Request) (any, []*os.File, error) {
		return fileOf(s.Take(ctx, a.Domain, a.Key))
	},
	"sockets": func(ctx context.Context, s *hold.Session, a link.Ask, _ *frame.Request) (any, []*os.File, error) {
		list, err := s.Sockets(ctx, a.Domain)
		return list, nil, err
	},
	"put": func(ctx context.Context, s *hold.Session, a link.Ask, r *frame.Request) (any, []*os.File, error) {
		var file *os.File
		switch len(r.Files) {
		case 0: // the slot is to be empty
		case 1:
			file = r.Files[0]
		default:
			return nil, nil, fmt.Errorf("cannot put %d files into a slot: %w", len(r.Files), keeper.ErrInvalid)
		}
		r.Files = nil
		return nil, nil, s.Put(ctx, a.Domain, a.Key, file)
	},
	"get": func(ctx context.Context, s *hold.Session, a link.Ask, _ *frame.Request) (any, []*os.File, error) {
		return fileOf(s.Get(ctx, a.Domain, a.Key))
	},
	"start": func(ctx context.Context, s *hold.Session, a link.Ask, r *frame.Request) (any, []*os.File, error) {
		spec := orZero(a.Spec)
		if len(a.Variables) != len(r.Files) {
			return nil, nil, fmt.Errorf("cannot start %v: %w: %d files came with %d names of variables",
				spec.ID(), keeper.ErrInvalid, len(r.Files), len(a.Variables))
		}
		for i, file := range r.Files {
			spec.Files = append(spec.Files, keeper.File{Var: a.Variables[i], File: file})
		}
		r.Files = nil
		start := s.Start
		if a.Again || r.Again {
			start = s.Again
		}
		p, err := start(ctx, spec)
		return p, nil, err
	},
	"signal": func(ctx context.Context, s *hold.Session, a link.Ask, _ *frame.Request) (any, []*os.File, error) {
		return nil, nil, s.Signal(ctx, a.ID, syscall.Signal(a.Signal))
	},
	"stop": func(ctx context.Context, s *hold.Session, a link.Ask, r *frame.Request) (any, []*os.File, error) {
		exit, err := s.Stop(ctx, a.ID)
		if r.Again && errors.Is(err, keeper.ErrUnknown) {
			exit, err = s.Wait(ctx, a.ID) // the former program had stopped it
		}
		return exit, nil, err
	},
	"wait": func(ctx context.Context, s *hold.Session, a link.Ask, _ *frame.Request) (any, []*os.File, error) {
		exit, err := s.Wait(ctx, a.ID)
		return exit, nil, err
	},
	"list": func(ctx context.Context, s *hold.Session, a link.Ask, _ *frame.Request) (any, []*os.File, error) {
		list, err := s.List(ctx, a.Domain)
		return list, nil, err
	},
	"spec": func(ctx context.Context, s *hold.Session, a link.Ask, _ *frame.Request) (any, []*os.File, error) {
		spec, err := s.Spec(ctx, a.ID)
		return spec, nil, err
	},
	"exits": func(ctx context.Context, s *hold.Session, a link.Ask, _ *frame.Request) (any, []*os.File, error) {
		list, err := s.Exits(ctx, a.Domain, a.After)
		return list, nil, err
	},
	"next": func(ctx context.Context, s *hold.Session, a link.Ask, _ *frame.Request) (any, []*os.File, error) {
		list, err := s.Next(ctx, a.Domain, a.After)
		return list, nil, err
	},
	"fenced": func(ctx context.Context, s *hold.Session, _ link.Ask, _ *frame.Request) (any, []*os.File, error) {
		return nil, nil, s.Fenced(ctx)
	},
	"release": func(_ context.Context, s *hold.Session, _ link.Ask, _ *frame.Request) (any, []*os.File, error) {
		return nil, nil, s.Release()
	},
}

func orZero[T any](v *T) T {
	if v == nil {
		v = new(T)
	}
	return *v
}

func fileOf(f *os.File, err error) (any, []*os.File, error) {
	if err != nil {
		return nil, nil, err
	}
	return nil, []*os.File{f}, nil
}

// handle answers a request.
func (c *attached) handle(ctx context.Context, r *frame.Request) (any, []*os.File, error) {
	body, files, err := c.do(ctx, r)
	return body, files, refusal.Told(err)
}

func (c *attached) do(ctx context.Context, r *frame.Request) (any, []*os.File, error) {
	switch r.Verb {
	case "attach":
		body, err := c.attach(ctx, r)
		return body, nil, err
	case "upgrade":
		body, err := c.upgrade(ctx, r)
		return body, nil, err
	case "shutdown": // by whoever may kill the keeper as well
		r.Answered = c.server.end
		return nil, nil, c.server.shutdown()
	}
	do, ok := verbs[r.Verb]
	if !ok {
		return nil, nil, frame.Unknown(r.Verb)
	}
	var a link.Ask
	if err := r.Decode(&a); err != nil {
		return nil, nil, err
	}

	c.mu.Lock()
	session := c.session
	c.mu.Unlock()
	if session == nil {
		return nil, nil, fmt.Errorf("cannot do %s before attach: %w", r.Verb, keeper.ErrNoClaim)
	}
	return do(ctx, session, a, r)
}

// attach begins the session.
func (c *attached) attach(ctx context.Context, r *frame.Request) (any, error) {
	var h link.Hello
	if err := r.Decode(&h); err != nil {
		return nil, err
	}
	if h.Protocol < link.Oldest {
		return nil, fmt.Errorf("%w: %d, and the client speaks %d: use a newer program", refusal.ErrProtocol, link.Protocol, h.Protocol)
	}

	c.mu.Lock()
	defer c.mu.Unlock()
	if c.session != nil {
		return nil, fmt.Errorf("cannot attach twice: %w", keeper.ErrInvalid)
	}
	ctx, cancel := context.WithTimeout(ctx, h.Patience)
	defer cancel()
	session, err := c.server.keeper.Attach(ctx, h.Claim)
	if err != nil {
		return nil, err
	}

	c.session = session
	return link.Welcome{Protocol: min(h.Protocol, link.Protocol), Holder: session.Holder(), Keeper: c.server.info()}, nil
}

// release ends the session, if there is one: the client has gone.
func (c *attached) release() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.session != nil {
		_ = c.session.Release() // the client may have done so already
	}
}
