package state

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// Session is who may hold keys.
type Session struct {
	ID            string
	Name          string
	Node          string
	LockDelay     time.Duration
	Behavior      string // what becomes of keys when it ends: "release" or "delete"
	TTL           string
	NodeChecks    []string
	ServiceChecks []ServiceCheck
	CreateIndex   uint64
	ModifyIndex   uint64

	Lease  clientv3.LeaseID `json:"-"`
	Ending bool             `json:"-"` // it can hold nothing more
}

// ServiceCheck is a check that a session depends on.
type ServiceCheck struct{ ID, Namespace string }

// stored is a session in the store.
type stored struct {
	Session
	Lease  clientv3.LeaseID
	Ending bool `json:",omitempty"`
}

func decodeSession(kv *mvccpb.KeyValue) (*Session, error) {
	if kv == nil {
		return nil, nil
	}
	var s stored
	err := json.Unmarshal(kv.Value, &s)
	if err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", kv.Key, err)
	}
	s.Session.Lease, s.Session.Ending = s.Lease, s.Ending
	s.CreateIndex, s.ModifyIndex = uint64(kv.CreateRevision), uint64(kv.ModRevision)
	return &s.Session, nil
}

func (s *Session) encoded() string { return encoded(stored{*s, s.Lease, s.Ending}) }

// NewID returns a random UUID.
func NewID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // it never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// lifetime returns how long a session lives without being renewed, twice its TTL, 0 if for ever.
func (s *Session) lifetime() time.Duration {
	ttl, err := time.ParseDuration(s.TTL)
	if err != nil {
		return 0
	}
	return 2 * ttl
}

// Create creates a session, which gets an ID, and returns the revision.
func (s *State) Create(ctx context.Context, session *Session) (int64, error) {
	session.ID = NewID()
	lifetime := session.lifetime()
	if lifetime > 0 {
		lease, err := s.client.Grant(ctx, seconds(lifetime))
		if err != nil {
			return 0, err
		}
		session.Lease = lease.ID
	}
	writes := []clientv3.Op{clientv3.OpPut(s.session(session.ID), session.encoded())}
	if lifetime > 0 {
		writes = append(writes, clientv3.OpPut(s.alive(session.ID), "", clientv3.WithLease(session.Lease)))
	}
	written, err := s.client.Txn(ctx).Then(writes...).Commit()
	if err != nil {
		return 0, err
	}
	return written.Header.Revision, nil
}

// seconds rounds up, for nothing may end too early.
func seconds(d time.Duration) int64 { return int64((d + time.Second - 1) / time.Second) }

// Session returns a session, nil if there is none.
func (s *State) Session(ctx context.Context, id string, stale bool) (*Session, error) {
	read, err := s.client.Get(ctx, s.session(id), at(stale)...)
	if err != nil || len(read.Kvs) == 0 {
		return nil, err
	}
	return decodeSession(read.Kvs[0])
}

// Sessions returns all sessions.
func (s *State) Sessions(ctx context.Context, stale bool) ([]*Session, error) {
	read, err := s.client.Get(ctx, s.session(""), append(at(stale), below(s.session("")))...)
	if err != nil {
		return nil, err
	}
	sessions := []*Session{}
	for _, kv := range read.Kvs {
		session, err := decodeSession(kv)
		if err != nil {
			return nil, err
		}
		sessions = append(sessions, session)
	}
	return sessions, nil
}

// Renew lets a session live as long as a new one, and returns it, nil if there is none.
func (s *State) Renew(ctx context.Context, id string) (*Session, error) {
	session, err := s.Session(ctx, id, false)
	if err != nil || session == nil || session.Lease == 0 {
		return session, err
	}
	_, err = s.client.KeepAliveOnce(ctx, session.Lease)
	if errors.Is(err, rpctypes.ErrLeaseNotFound) {
		return nil, nil // it is about to end
	}
	return session, err
}

// Expired returns the sessions whose time is over, which somebody has to end.
func (s *State) Expired(ctx context.Context) ([]string, error) {
	read, err := s.client.Txn(ctx).Then(
		clientv3.OpGet(s.session(""), below(s.session(""))),
		clientv3.OpGet(s.alive(""), below(s.alive("")), clientv3.WithKeysOnly()),
	).Commit()
	if err != nil {
		return nil, err
	}
	alive := map[string]bool{}
	for _, kv := range read.Responses[1].GetResponseRange().GetKvs() {
		alive[strings.TrimPrefix(string(kv.Key), s.alive(""))] = true
	}
	var expired []string
	for _, kv := range read.Responses[0].GetResponseRange().GetKvs() {
		session, err := decodeSession(kv)
		if err != nil {
			return nil, err
		}
		if session.Ending || session.Lease != 0 && !alive[session.ID] {
			expired = append(expired, session.ID)
		}
	}
	return expired, nil
}

// step is how many keys of a session are let go in one revision; each takes at most five writes.
const step = 20

// End ends a session, and lets go what it holds: all of it in one revision, or step by step where that is much. For the
// session's lock-delay nobody can lock these keys. It returns the last revision, and whether there was such a session.
func (s *State) End(ctx context.Context, id string) (revision int64, found bool, err error) {
	for {
		session, err := s.Session(ctx, id, false)
		if err != nil || session == nil {
			return revision, found, err
		}
		found = true
		written, err := s.letGo(ctx, session)
		if err != nil {
			return revision, found, err
		}
		revision = max(revision, written)
	}
}

// letGo does one step of ending a session. If another one was faster, it does nothing, and returns 0.
func (s *State) letGo(ctx context.Context, session *Session) (int64, error) {
	hold := s.held(session.ID, "")
	held, err := s.client.Get(ctx, hold, below(hold), clientv3.WithKeysOnly(), clientv3.WithLimit(step))
	if err != nil {
		return 0, err
	}
	t := &try{state: s, cells: map[string]*cell{}, guards: map[string]clientv3.Cmp{}}
	t.pin(held.Header.Revision)
	t.guards[hold] = clientv3.Compare(clientv3.ModRevision(hold), "<", t.revision+1).WithPrefix() // it gets no other keys
	var ops []Op
	for _, kv := range held.Kvs {
		ops = append(ops, Op{Key: strings.TrimPrefix(string(kv.Key), hold)})
	}
	err = t.load(ctx, ops)
	if err != nil {
		return 0, err
	}
	w := &writes{state: s, put: map[string]bool{}}
	delayed, err := t.release(ctx, session, w)
	if err != nil {
		return 0, err
	}

	t.guard(s.session(session.ID), int64(session.ModifyIndex))
	if held.More {
		session.Ending = true
		w.set(s.session(session.ID), session.encoded())
	} else {
		w.ops = append(w.ops, clientv3.OpDelete(s.session(session.ID)), clientv3.OpDelete(s.alive(session.ID)))
	}
	answer, err := s.client.Txn(ctx).If(t.compares()...).Then(append(w.ops, delayed...)...).Commit()
	if err != nil || !answer.Succeeded {
		return 0, err
	}
	if !held.More && session.Lease != 0 {
		_, _ = s.client.Revoke(ctx, session.Lease) // it ends by itself as well
	}
	return answer.Header.Revision, nil
}

// release lets the keys go that a session holds, and returns what keeps others from locking them for a while.
func (t *try) release(ctx context.Context, session *Session, w *writes) ([]clientv3.Op, error) {
	var held []*cell
	for _, c := range t.cells {
		if c.holder() != session.ID {
			w.ops = append(w.ops, clientv3.OpDelete(t.state.held(session.ID, c.key)))
			continue
		}
		held = append(held, c)
		c.exact = true
		if session.Behavior == "delete" {
			c.remove()
			w.ops = append(w.ops, clientv3.OpDelete(t.state.held(session.ID, c.key)))
		} else {
			c.set(Op{Value: c.entry.Value, Flags: c.entry.Flags}, "")
		}
		w.cell(c)
	}
	if session.LockDelay <= 0 || len(held) == 0 {
		return nil, nil
	}
	lease, err := t.state.client.Grant(ctx, seconds(session.LockDelay))
	if err != nil {
		return nil, err
	}
	var delays []clientv3.Op
	for _, c := range held {
		delays = append(delays, clientv3.OpPut(t.state.delay(c.key), "", clientv3.WithLease(lease.ID)))
	}
	return delays, nil
}
