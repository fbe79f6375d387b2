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

// change is how a client wants the group to be. Of the member it has what the kind of change is about.
type change struct {
	Kind    raftpb.ConfChangeType
	Promote bool // a learner, by a change of the kind that adds members
	Member  membership.Member
}

func (c change) votes() bool { return c.Kind == raftpb.ConfChangeAddNode && !c.Promote }

// AddMember adds a member.
func (s *Server) AddMember(ctx context.Context, m *membership.Member) ([]*membership.Member, error) {
	kind := raftpb.ConfChangeAddNode
	if m.IsLearner {
		kind = raftpb.ConfChangeAddLearnerNode
	}
	return s.change(ctx, change{Kind: kind, Member: *m})
}

// RemoveMember removes a member; its ID never comes back.
func (s *Server) RemoveMember(ctx context.Context, id uint64) ([]*membership.Member, error) {
	return s.change(ctx, change{Kind: raftpb.ConfChangeRemoveNode, Member: membership.Member{ID: memberID(id)}})
}

// UpdateMember changes what a member is called.
func (s *Server) UpdateMember(ctx context.Context, m *membership.Member) ([]*membership.Member, error) {
	return s.change(ctx, change{Kind: raftpb.ConfChangeUpdateNode, Member: *m})
}

// PromoteMember makes a voter of a learner that has nearly all of the log.
func (s *Server) PromoteMember(ctx context.Context, id uint64) ([]*membership.Member, error) {
	return s.change(ctx, change{Kind: raftpb.ConfChangeAddNode, Promote: true, Member: membership.Member{ID: memberID(id)}})
}

// change changes the group, and returns the members. The leader does it, for only it knows how the others are.
func (s *Server) change(ctx context.Context, c change) ([]*membership.Member, error) {
	err := s.Admin(ctx)
	if err != nil {
		return nil, err
	}
	a, err := s.askLeader(ctx, question{Change: &c})
	return a.Members, err
}

func (s *Server) changeHere(ctx context.Context, c change) ([]*membership.Member, error) {
	err := s.mayChange(ctx, c)
	if err != nil {
		return nil, err
	}
	proposal := &raftpb.ConfChange{Id: new(s.ids.Next()), Type: c.Kind.Enum(), NodeId: new(uint64(c.Member.ID))}
	if c.Kind != raftpb.ConfChangeRemoveNode {
		proposal.Context, err = json.Marshal(membership.ConfigChangeContext{Member: c.Member, IsPromote: c.Promote})
		if err != nil {
			return nil, err
		}
	}

	answer := s.State.Waiting.Register(proposal.GetId())
	defer s.State.Waiting.Trigger(proposal.GetId(), nil) // nobody waits any more
	ctx, cancel := context.WithTimeout(ctx, RequestTimeout)
	defer cancel()
	err = s.driver.ProposeChange(ctx, proposal)
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

// mayChange refuses, where this member leads, a change after which the group could not go on.
func (s *Server) mayChange(ctx context.Context, c change) error {
	if !s.leads() {
		return servererrors.ErrNotLeader
	}
	cluster, id := s.State.Cluster, uint64(c.Member.ID)
	before := cluster.Member(c.Member.ID)
	voters := len(cluster.VotingMemberIDs())
	switch {
	case c.Promote:
		err := s.nearlyComplete(ctx, id)
		if err == nil && !cluster.IsReadyToPromoteMember(id) {
			err = servererrors.ErrNotEnoughStartedMembers
		}
		return err

	case c.Kind == raftpb.ConfChangeAddNode || c.Kind == raftpb.ConfChangeAddLearnerNode:
		if c.votes() && !cluster.IsReadyToAddVotingMember() {
			return servererrors.ErrNotEnoughStartedMembers
		}
		if voters == 1 {
			return nil
		}
		// The new one is down for a while.
		_, err := s.active(ctx, func(n int) bool { return n >= (voters+1)/2+1 })
		return err

	case c.Kind == raftpb.ConfChangeRemoveNode && before != nil && !before.IsLearner:
		if !cluster.IsReadyToRemoveVotingMember(id) {
			return servererrors.ErrNotEnoughStartedMembers
		}
		active, err := s.active(ctx, func(n int) bool { return n-1 >= (voters-1)/2+1 })
		if errors.Is(err, servererrors.ErrUnhealthy) && !active[id] {
			return nil // one that is down is missed by nobody
		}
		return err
	}
	return nil
}

// nearlyComplete refuses a learner that lacks much of the log.
func (s *Server) nearlyComplete(ctx context.Context, id uint64) error {
	err := s.caughtUp()
	if err != nil {
		return err
	}
	status, err := s.driver.Status(ctx)
	if err != nil {
		return s.whyNot(ctx, err)
	}
	if status.Progress == nil {
		return servererrors.ErrNotLeader
	}
	learner, found := status.Progress[id]
	if !found {
		return membership.ErrIDNotFound
	}
	if learner.Match*100 < status.Progress[status.ID].Match*readyPercent {
		return servererrors.ErrLearnerNotReady
	}
	return nil
}

// active returns the voters that have answered this leader lately, itself among them; it fails where those are not
// enough. Raft forgets who has answered once in an election timeout, so it looks for half of one.
func (s *Server) active(ctx context.Context, enough func(int) bool) (map[uint64]bool, error) {
	seen := map[uint64]bool{s.disk.Member: true}
	for end := time.Now().Add(drive.Election / 2); ; {
		status, err := s.driver.Status(ctx)
		if err != nil {
			return nil, s.whyNot(ctx, err)
		}
		if status.Progress == nil {
			return nil, servererrors.ErrNotLeader
		}
		for id, progress := range status.Progress {
			if progress.RecentActive && !progress.IsLearner {
				seen[id] = true
			}
		}
		switch {
		case enough(len(seen)):
			return seen, nil
		case time.Now().After(end):
			return seen, servererrors.ErrUnhealthy
		}
		select {
		case <-time.After(drive.Tick):
		case <-ctx.Done():
			return nil, s.whyNot(ctx, ctx.Err())
		}
	}
}

// ErrRemoved is why a member ends that others have removed.
var ErrRemoved = errors.New("this member was removed from the store: to come back, it needs an empty folder")

// Learner says whether this member has no vote, be it that the others have not added it yet.
func (s *Server) Learner() bool {
	m := s.State.Cluster.Member(s.MemberID())
	return m == nil || m.IsLearner
}

// Removed ends this member, after who has asked for that was answered.
func (s *Server) Removed() {
	time.AfterFunc(drive.Election, func() { s.Fail(ErrRemoved) })
}
