package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/types"
	"go.etcd.io/etcd/server/v3/auth"
	"go.etcd.io/etcd/server/v3/etcdserver/api/membership"
	servererrors "go.etcd.io/etcd/server/v3/etcdserver/errors"
	"go.etcd.io/etcd/server/v3/lease"
	"go.etcd.io/etcd/server/v3/storage/mvcc"
	"go.etcd.io/raft/v3/raftpb"

	"github.com/divisi-go/divisi/store/internal/drive"
	"github.com/divisi-go/divisi/store/internal/shipment"
)

// Transport reaches the other members of a store. What it brings, it gives to Step, Receive and Answer of the member
// that it was sent to, and to no member of another store.
type Transport interface {
	drive.Transport
	// Ask brings a question to another member, and returns its answer.
	Ask(ctx context.Context, member uint64, question []byte) ([]byte, error)
}

// maxQuestion is how long a question may be, which names a member at most.
const maxQuestion = 64 << 10

// answerTime is how long another member may take to answer what it has at hand.
const answerTime = 2 * drive.Election

// alone is the transport of a member that has no others.
type alone struct{ drive.Alone }

func (alone) Ask(context.Context, uint64, []byte) ([]byte, error) {
	return nil, errors.New("there is no other member")
}

// ErrRemovedSender is what a member is told that sends messages although it was removed.
var ErrRemovedSender = errors.New("the sender was removed from the store")

// Step takes a message of another member.
func (s *Server) Step(ctx context.Context, m *raftpb.Message) error {
	if m.GetTo() != s.disk.Member {
		return fmt.Errorf("a message to member %x has come to member %x", m.GetTo(), s.disk.Member)
	}
	if s.State.Cluster.IsIDRemoved(types.ID(m.GetFrom())) {
		return ErrRemovedSender
	}
	return s.driver.Step(ctx, m)
}

// Receive takes the state of another member, as package shipment has it. When it returns nil, the state is on the disk.
func (s *Server) Receive(ctx context.Context, r io.Reader) error {
	m, database, err := shipment.Open(r, 2*s.options.Quota)
	if err != nil {
		return err
	}
	err = s.disk.Receive(database, m.GetSnapshot().GetMetadata().GetIndex())
	if err != nil {
		return err
	}
	return s.Step(ctx, m)
}

// Unreachable says that a message to a member was lost.
func (s *Server) Unreachable(member uint64) { _ = s.driver.Unreachable(s.context, member) }

// question is what a member asks another one. One of its fields is given.
type question struct {
	Renew  *lease.LeaseID `json:",omitempty"`
	Left   *leaseAsked    `json:",omitempty"`
	Change *change        `json:",omitempty"`
	Hash   *int64         `json:",omitempty"` // of the keys as of a revision
}

type leaseAsked struct {
	ID   lease.LeaseID
	Keys bool
}

// answer is what comes of a question: an error, or what belongs to its field.
type answer struct {
	Error   string               `json:",omitempty"`
	TTL     int64                `json:",omitempty"`
	Left    *leaseLeft           `json:",omitempty"`
	Members []*membership.Member `json:",omitempty"`
	Hash    *keysHash            `json:",omitempty"`
}

type leaseLeft struct {
	TTL, Granted int64
	Keys         [][]byte `json:",omitempty"`
}

// told are the errors of answers that whoever asks tells apart.
var told = []error{
	lease.ErrLeaseNotFound, lease.ErrNotPrimary, auth.ErrAuthOldRevision,
	servererrors.ErrNotLeader, servererrors.ErrLeaderChanged, servererrors.ErrTimeout,
	servererrors.ErrTimeoutWaitAppliedIndex, servererrors.ErrLearnerNotReady,
	servererrors.ErrNotEnoughStartedMembers, servererrors.ErrUnhealthy, servererrors.ErrTooManyRequests,
	membership.ErrIDRemoved, membership.ErrIDExists, membership.ErrIDNotFound, membership.ErrPeerURLexists,
	membership.ErrMemberNotLearner, membership.ErrTooManyLearners,
	mvcc.ErrCompacted, mvcc.ErrFutureRev,
}

// Answer answers a question of another member, which has seen to it that its client may ask.
func (s *Server) Answer(ctx context.Context, text []byte) []byte {
	var a answer
	q, err := parseQuestion(text)
	if err == nil {
		a, err = s.answer(ctx, q)
	}
	if err != nil {
		a = answer{Error: err.Error()}
	}
	out, err := json.Marshal(a)
	if err != nil {
		return nil // which is no answer
	}
	return out
}

// parseQuestion reads a question.
func parseQuestion(text []byte) (question, error) {
	var q question
	if len(text) > maxQuestion {
		return q, fmt.Errorf("a question has %d bytes, and may have %d", len(text), maxQuestion)
	}
	err := json.Unmarshal(text, &q)
	if err != nil {
		return q, fmt.Errorf("cannot read a question: %w", err)
	}
	if q.Change == nil {
		return q, nil
	}
	_, known := raftpb.ConfChangeType_name[int32(q.Change.Kind)]
	if !known || q.Change.Promote && q.Change.Kind != raftpb.ConfChangeAddNode || q.Change.Member.ID == 0 {
		return q, errors.New("a question is about a change that there is not")
	}
	return q, nil
}

func (s *Server) answer(ctx context.Context, q question) (a answer, err error) {
	ctx = s.State.Auth.WithRoot(ctx)
	switch {
	case q.Renew != nil:
		a.TTL, err = s.renewHere(ctx, *q.Renew)
	case q.Left != nil:
		a.Left, err = s.leftHere(*q.Left)
	case q.Change != nil:
		a.Members, err = s.changeHere(ctx, *q.Change)
	case q.Hash != nil:
		a.Hash, err = s.hash(*q.Hash)
	default:
		err = errors.New("this member does not know that question")
	}
	return a, err
}

// ask asks another member. An error says whether it has answered, which a lost question does not.
func (s *Server) ask(ctx context.Context, member uint64, q question) (answer, error) {
	text, err := json.Marshal(q)
	if err != nil {
		return answer{}, err
	}
	text, err = s.options.Transport.Ask(ctx, member, text)
	if err != nil {
		return answer{}, &lostError{err}
	}
	var a answer
	err = json.Unmarshal(text, &a)
	if err != nil {
		return answer{}, &lostError{err}
	}
	if a.Error == "" {
		return a, nil
	}
	for _, known := range told {
		if a.Error == known.Error() {
			return answer{}, known
		}
	}
	if a.Error == servererrors.ErrStopped.Error() {
		return answer{}, &lostError{servererrors.ErrStopped}
	}
	return answer{}, errors.New(a.Error)
}

// lostError is why a question has got no answer. Whether it had an effect nobody knows.
type lostError struct{ error }

func (e *lostError) Unwrap() error { return e.error }

// askLeader has the leader answer, be that this member or another one. While nobody leads for certain, or nobody
// answers, it asks again until the context ends, but for a change that may have been made.
func (s *Server) askLeader(ctx context.Context, q question) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, RequestTimeout)
	defer cancel()
	for {
		a, err := s.askOnce(ctx, q)
		var lost *lostError
		switch {
		case errors.Is(err, lease.ErrNotPrimary) || errors.Is(err, servererrors.ErrNotLeader):
		case errors.As(err, &lost) && q.Change == nil:
		case errors.As(err, &lost):
			return answer{}, servererrors.ErrTimeout
		default:
			return a, err
		}

		// An election goes on, or the leader has just won one and has not applied what was before.
		select {
		case <-time.After(drive.Tick / 2):
		case <-s.context.Done():
			return answer{}, servererrors.ErrStopped
		case <-ctx.Done():
			if s.Leader() == 0 {
				return answer{}, servererrors.ErrNoLeader
			}
			return answer{}, s.whyNot(ctx, ctx.Err())
		}
	}
}

func (s *Server) askOnce(ctx context.Context, q question) (answer, error) {
	leader := uint64(s.Leader())
	switch leader {
	case 0:
		return answer{}, servererrors.ErrNotLeader
	case s.disk.Member:
		return s.answer(ctx, q)
	}
	if q.Change == nil { // who does not answer may have been succeeded by one that would
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, answerTime)
		defer cancel()
	}
	return s.ask(ctx, leader, q)
}
