package server

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/types"
	"go.etcd.io/etcd/server/v3/etcdserver/api/membership"
	servererrors "go.etcd.io/etcd/server/v3/etcdserver/errors"
	"go.etcd.io/raft/v3/raftpb"

	"github.com/divisi-go/divisi/store/internal/drive"
	"github.com/divisi-go/divisi/store/internal/machine"
)

// readyPercent is how much of the log a learner must have before it votes.
const readyPercent = 90

func memberID(id uint64) types.ID { return types.ID(id) }

// Members lists the members.
func (s *Server) Members(ctx context.Context, linearizable bool) ([]*membership.Member, error) {
	if linearizable {
		err := s.Linearize(ctx)
		if err != nil {
			return nil, err
		}
	}
	err := s.Known(ctx)
	if err != nil {
		return nil, err
	}
	return s.State.Cluster.Members(), nil
}

// AddMember adds a member.
func (s *Server) AddMember(ctx context.Context, m *membership.Member) ([]*membership.Member, error) {
	if !m.IsLearner && !s.State.Cluster.IsReadyToAddVotingMember() {
		return nil, servererrors.ErrNotEnoughStartedMembers
	}
	kind := raftpb.ConfChangeAddNode
	if m.IsLearner {
		kind = raftpb.ConfChangeAddLearnerNode
	}
	return s.change(ctx, kind, m.ID, m)
}

// RemoveMember removes a member; its ID never comes back.
func (s *Server) RemoveMember(ctx context.Context, id uint64) ([]*membership.Member, error) {
	m := s.State.Cluster.Member(memberID(id))
	if m != nil && !m.IsLearner && !s.State.Cluster.IsReadyToRemoveVotingMember(id) {
		return nil, servererrors.ErrNotEnoughStartedMembers
	}
	return s.change(ctx, raftpb.ConfChangeRemoveNode, memberID(id), nil)
}

// UpdateMember changes what a member is called.
func (s *Server) UpdateMember(ctx context.Context, m *membership.Member) ([]*membership.Member, error) {
	return s.change(ctx, raftpb.ConfChangeUpdateNode, m.ID, m)
}

// PromoteMember makes a voter of a learner that has nearly all of the log. Only the leader knows how much it has.
func (s *Server) PromoteMember(ctx context.Context, id uint64) ([]*membership.Member, error) {
	status, err := s.driver.Status(ctx)
	if err != nil {
		return nil, s.whyNot(ctx, err)
	}
	if status.Progress == nil {
		return nil, servererrors.ErrNotLeader
	}
	learner, found := status.Progress[id]
	if !found {
		return nil, membership.ErrIDNotFound
	}
	if learner.Match*100 < status.Progress[status.ID].Match*readyPercent {
		return nil, servererrors.ErrLearnerNotReady
	}
	if !s.State.Cluster.IsReadyToPromoteMember(id) {
		return nil, servererrors.ErrNotEnoughStartedMembers
	}
	return s.change(ctx, raftpb.ConfChangeAddNode, memberID(id), membership.ConfigChangeContext{
		Member: membership.Member{ID: memberID(id)}, IsPromote: true,
	})
}

// change proposes a change of the group, and returns the members when it is applied here.
func (s *Server) change(ctx context.Context, kind raftpb.ConfChangeType, of types.ID, what any) ([]*membership.Member, error) {
	err := s.Admin(ctx)
	if err != nil {
		return nil, err
	}
	change := &raftpb.ConfChange{Id: new(s.ids.Next()), Type: kind.Enum(), NodeId: new(uint64(of))}
	if what != nil {
		change.Context, err = json.Marshal(what)
		if err != nil {
			return nil, err
		}
	}

	answer := s.State.Waiting.Register(change.GetId())
	defer s.State.Waiting.Trigger(change.GetId(), nil) // nobody waits any more
	ctx, cancel := context.WithTimeout(ctx, RequestTimeout)
	defer cancel()
	err = s.driver.ProposeChange(ctx, change)
	if err != nil {
		return nil, s.whyNot(ctx, err)
	}
	select {
	case result := <-answer:
		changed := result.(*machine.Changed)
		return changed.Members, changed.Err
	case <-ctx.Done():
		return nil, s.whyNot(ctx, ctx.Err())
	case <-s.context.Done():
		return nil, servererrors.ErrStopped
	}
}

// ErrRemoved is why a member ends that others have removed.
var ErrRemoved = errors.New("this member was removed from the store: to come back, it needs an empty folder")

// Removed ends this member, after who has asked for that was answered.
func (s *Server) Removed() {
	time.AfterFunc(drive.Election, func() { s.Fail(ErrRemoved) })
}
