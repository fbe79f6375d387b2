package machine

import (
	"encoding/json"
	"errors"
	"fmt"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/client/pkg/v3/types"
	"go.etcd.io/etcd/server/v3/etcdserver/api/membership"
	"go.etcd.io/etcd/server/v3/etcdserver/apply"
	servererrors "go.etcd.io/etcd/server/v3/etcdserver/errors"
	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/divisi-go/divisi/store/internal/drive"
)

// Changed is the result of a change of the group, for who waits for it.
type Changed struct {
	Members []*membership.Member
	Err     error
}

// Apply applies entries.
func (m *Machine) Apply(entries []*raftpb.Entry, configure func(*raftpb.ConfChange) *raftpb.ConfState) error {
	err := m.applyEntries(entries, configure)
	if err != nil {
		return err
	}
	m.Reached.Trigger(m.applied.Load())
	return nil
}

// applyEntries has the name by which etcd's packages know, with ETCD_VERIFY=all, that they are called to apply an entry.
func (m *Machine) applyEntries(entries []*raftpb.Entry, configure func(*raftpb.ConfChange) *raftpb.ConfState) error {
	for _, e := range entries {
		index, term := e.GetIndex(), e.GetTerm()
		if index != m.applied.Load()+1 {
			return fmt.Errorf("cannot apply entry %d after %d", index, m.applied.Load())
		}
		m.disk.Index.SetConsistentApplyingIndex(index, term)

		var told func()
		switch e.GetType() {
		case raftpb.EntryNormal:
			told = m.applyRequest(e)
		case raftpb.EntryConfChange:
			var err error
			told, err = m.applyChange(e, configure)
			if err != nil {
				return err
			}
		default:
			return fmt.Errorf("cannot apply entry %d: its type %s is unknown", index, e.GetType())
		}

		// What has changed nothing has opened no transaction.
		if m.disk.Index.ConsistentIndex() < index {
			m.disk.Index.SetConsistentIndex(index, term)
		}
		m.applied.Store(index)
		m.term.Store(term)
		told()
	}
	return nil
}

// applyRequest applies a request, and returns what tells who waits for it.
func (m *Machine) applyRequest(e *raftpb.Entry) (told func()) {
	if len(e.Data) == 0 { // a new leader begins its term with it; a change that raft has refused is one as well
		begins := e.GetTerm() > m.term.Load()
		return func() {
			m.FirstCommit.Notify()
			if begins {
				m.promote()
			}
		}
	}

	result, id := apply.Apply(m.logger, e, m.uber, m.Waiting, membership.ApplyBoth)
	switch {
	case result == nil:
		return func() {}
	case errors.Is(result.Err, servererrors.ErrNoSpace) && len(m.Alarms(pb.AlarmType_NOSPACE)) == 0:
		return func() { m.host.FullSoon(func() { m.Waiting.Trigger(id, result) }) }
	}
	return func() {
		m.Waiting.Trigger(id, result)
		if _, alarm := result.Resp.(*pb.AlarmResponse); alarm {
			m.hearAlarms()
		}
	}
}

// promote has this member count the time of leases, if it leads. It may lose the lead at any time, so it looks after
// as well: of two members that count, one would end leases that the other has renewed.
func (m *Machine) promote() {
	leads := func() bool { return m.host.Leader() == m.host.MemberID() }
	if leads() {
		m.Lessor.Promote(drive.Election)
	}
	if !leads() {
		m.Lessor.Demote()
	}
}

func (m *Machine) hearAlarms() {
	for _, alarm := range m.Alarms(pb.AlarmType_CORRUPT) {
		if types.ID(alarm.MemberID) == m.host.MemberID() {
			m.host.Accused()
		}
	}
}

// applyChange applies a change of the group. One that is not valid any more changes nothing, and raft is told so.
func (m *Machine) applyChange(e *raftpb.Entry, configure func(*raftpb.ConfChange) *raftpb.ConfState) (func(), error) {
	var change raftpb.ConfChange
	err := proto.Unmarshal(e.Data, &change)
	if err != nil {
		return nil, fmt.Errorf("cannot apply entry %d: %w", e.GetIndex(), err)
	}

	refused := m.Cluster.ValidateConfigurationChange(&change, membership.ApplyBoth)
	if refused != nil {
		change.NodeId = new(raft.None)
	}
	group := configure(&change)
	if group == nil { // the driver ends
		return nil, errors.New("cannot change the group: the store stops")
	}
	m.group = group
	m.disk.Hooks.SetConfState(group)
	if refused == nil {
		err = m.changeMembers(&change)
		if err != nil {
			return nil, fmt.Errorf("cannot apply entry %d: %w", e.GetIndex(), err)
		}
	}
	return func() {
		m.Waiting.Trigger(change.GetId(), &Changed{Members: m.Cluster.Members(), Err: refused})
		if m.Cluster.IsIDRemoved(m.host.MemberID()) {
			m.host.Removed()
		}
	}, nil
}

func (m *Machine) changeMembers(change *raftpb.ConfChange) error {
	id := types.ID(change.GetNodeId())
	switch change.GetType() {
	case raftpb.ConfChangeAddNode, raftpb.ConfChangeAddLearnerNode:
		var added membership.ConfigChangeContext
		err := json.Unmarshal(change.Context, &added)
		if err != nil {
			return err
		}
		if added.IsPromote {
			m.Cluster.PromoteMember(id, membership.ApplyBoth)
		} else {
			m.Cluster.AddMember(&added.Member, membership.ApplyBoth)
		}

	case raftpb.ConfChangeRemoveNode:
		m.Cluster.RemoveMember(id, membership.ApplyBoth)

	case raftpb.ConfChangeUpdateNode:
		var updated membership.Member
		err := json.Unmarshal(change.Context, &updated)
		if err != nil {
			return err
		}
		m.Cluster.UpdateRaftAttributes(id, updated.RaftAttributes, membership.ApplyBoth)
	}
	return nil
}
