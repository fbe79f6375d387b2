package consulapi

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/divisi-go/divisi/store/internal/consul/index"
	"github.com/divisi-go/divisi/store/internal/consul/poll"
	"github.com/divisi-go/divisi/store/internal/consul/state"
	"github.com/divisi-go/divisi/store/internal/consul/upkeep"
)

const (
	lockDelay    = 15 * time.Second // by default
	maxLockDelay = time.Minute
	minTTL       = 10 * time.Second
	maxTTL       = 24 * time.Hour
	maxSession   = 64 << 10 // how long the body may be that creates one
)

// alive is the check that every node has.
const alive = "serfHealth"

// pause is a duration in JSON: a string with a unit, or a number, which is one of seconds below 1000, and else one of
// nanoseconds.
type pause time.Duration

func (p *pause) UnmarshalJSON(text []byte) error {
	var v any
	err := json.Unmarshal(text, &v)
	if err != nil {
		return err
	}
	var d time.Duration
	switch v := v.(type) {
	case nil:
		return nil
	case string:
		d, err = time.ParseDuration(v)
		if err != nil {
			return err
		}
	case float64:
		d = time.Duration(v)
		if v >= 1<<63 {
			d = maxLockDelay
		}
	default:
		return fmt.Errorf("%s is no duration", text)
	}
	if d > 0 && d < 1000 {
		d *= time.Second
	}
	*p = pause(d)
	return nil
}

// sessionBody is what one may say of a new session.
type sessionBody struct {
	Name, Node, Behavior, TTL string
	LockDelay                 *pause
	Checks, NodeChecks        []string
	ServiceChecks             []state.ServiceCheck
}

// session returns the session that a body describes.
func (b *sessionBody) session(node string) (*state.Session, error) {
	session := &state.Session{
		Name: b.Name, Node: node, LockDelay: lockDelay, Behavior: "release", TTL: b.TTL,
		NodeChecks: b.NodeChecks, ServiceChecks: b.ServiceChecks,
	}
	if b.Node != "" {
		session.Node = b.Node
	}
	if b.NodeChecks == nil {
		session.NodeChecks = b.Checks
	}
	if session.NodeChecks == nil {
		session.NodeChecks = []string{alive}
	}
	if b.LockDelay != nil {
		session.LockDelay = min(time.Duration(*b.LockDelay), maxLockDelay)
	}
	switch b.Behavior {
	case "release", "delete":
		session.Behavior = b.Behavior
	case "":
	default:
		return nil, refuse(http.StatusInternalServerError, "Invalid Behavior setting '%s'", b.Behavior)
	}

	if b.TTL == "" {
		return session, nil
	}
	ttl, err := time.ParseDuration(b.TTL)
	if err != nil {
		return nil, refuse(http.StatusInternalServerError, "Session TTL '%s' invalid: %v", b.TTL, err)
	}
	if ttl != 0 && (ttl < minTTL || ttl > maxTTL) {
		return nil, refuse(http.StatusInternalServerError, "Invalid Session TTL '%d', must be between [%v=%v]", ttl, minTTL, maxTTL)
	}
	return session, nil
}

func createSession(s *Server, c *call) error {
	var body sessionBody
	if c.ContentLength != 0 {
		err := c.decode(&body, maxSession)
		if err != nil {
			return err
		}
	}
	session, err := body.session(s.options.Node)
	if err != nil {
		return err
	}
	view, err := s.catalog.Load(c.Context(), "", false)
	if err != nil {
		return err
	}
	lacks := upkeep.Missing(session, view)
	if lacks != "" {
		return refuse(http.StatusInternalServerError, "%s", lacks)
	}
	revision, err := s.state.Create(c.Context(), session)
	if err != nil {
		return err
	}
	s.reach(c.Context(), revision)
	return c.send(struct{ ID string }{session.ID})
}

// id returns the session that a request names.
func (c *call) id() (string, error) {
	if c.rest == "" {
		return "", refuse(http.StatusBadRequest, "Missing session")
	}
	return c.rest, nil
}

func destroySession(s *Server, c *call) error {
	id, err := c.id()
	if err != nil {
		return err
	}
	revision, _, err := s.state.End(c.Context(), id)
	if err != nil {
		return err
	}
	s.reach(c.Context(), revision)
	return c.send(true)
}

func renewSession(s *Server, c *call) error {
	id, err := c.id()
	if err != nil {
		return err
	}
	session, err := s.state.Renew(c.Context(), id)
	if err != nil {
		return err
	}
	if session == nil {
		return refuse(http.StatusNotFound, "Session id '%s' not found", id)
	}
	return c.send([]*state.Session{session})
}

func getSession(s *Server, c *call) error {
	id, err := c.id()
	if err != nil {
		return err
	}
	return s.sessions(c, "info "+id, func(session *state.Session) bool { return session.ID == id })
}

func getNodeSessions(s *Server, c *call) error {
	node := c.rest
	if node == "" {
		return refuse(http.StatusBadRequest, "Missing node name")
	}
	return s.sessions(c, "node "+node, func(session *state.Session) bool { return session.Node == node })
}

func getSessions(s *Server, c *call) error {
	return s.sessions(c, "list", func(*state.Session) bool { return true })
}

// sessions answers with the sessions that are meant; their index is that of all sessions.
func (s *Server) sessions(c *call, name string, meant func(*state.Session) bool) error {
	t := c.terms
	return s.respond(c, poll.Question{
		Name:   fmt.Sprintf("session %v %v %s", t.stale, t.pretty, name),
		Ranges: []index.Range{{Key: "session/", Prefix: true}},
		Read: func(ctx context.Context) (*poll.Answer, error) {
			sessions, err := s.state.Sessions(ctx, t.stale)
			if err != nil {
				return nil, err
			}
			sessions = slices.DeleteFunc(sessions, func(session *state.Session) bool { return !meant(session) })
			return t.answer(s.index.Table("session"), sessions)
		},
	})
}
