package server

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/membershippb"
	"go.etcd.io/etcd/api/v3/version"
	"go.etcd.io/etcd/client/pkg/v3/types"
	"go.etcd.io/etcd/server/v3/etcdserver/api/membership"
	"go.etcd.io/raft/v3"

	"github.com/divisi-go/divisi/store/internal/disk"
)

// Beginning is how a member begins whose folder is empty. It stays as it is until the member serves.
type Beginning struct {
	Member, Cluster uint64 // its identity; nobody has it or had it

	// Founders are the members of a store that begins now, this one among them. A member without founders joins a
	// store that has added it, and gets everything from the others.
	Founders []*membership.Member
}

// identity returns who this member is if its folder is empty.
func (o Options) identity() disk.Identity {
	if o.Begin == nil {
		return disk.NewIdentity()
	}
	return disk.Identity{Member: o.Begin.Member, Cluster: o.Begin.Cluster}
}

// founders returns the members of a store that begins now, in the same order on all of them.
func (s *Server) founders() ([]raft.Peer, error) {
	if s.options.Begin == nil {
		return s.founder()
	}
	var peers []raft.Peer
	for _, m := range s.options.Begin.Founders {
		text, err := json.Marshal(m)
		if err != nil {
			return nil, err
		}
		peers = append(peers, raft.Peer{ID: uint64(m.ID), Context: text})
	}
	slices.SortFunc(peers, func(a, b raft.Peer) int { return cmp.Compare(a.ID, b.ID) })
	return peers, nil
}

// founder returns this member as the first one of a store.
func (s *Server) founder() ([]raft.Peer, error) {
	urls, err := types.NewURLs([]string{s.options.PeerURL})
	if err != nil {
		return nil, fmt.Errorf("cannot found a store with the member URL %q: %w", s.options.PeerURL, err)
	}
	member, err := json.Marshal(&membership.Member{
		ID:             s.MemberID(),
		RaftAttributes: membership.RaftAttributes{PeerURLs: urls.StringSlice()},
		Attributes:     membership.Attributes{Name: s.options.Name},
	})
	if err != nil {
		return nil, err
	}
	return []raft.Peer{{ID: s.disk.Member, Context: member}}, nil
}

// publish tells the members where clients find this one. The member is ready when that is in the log, but does not
// serve keys that most members do not have.
func (s *Server) publish() {
	err := s.doubt()
	if errors.Is(err, ErrCorrupt) {
		s.Fail(err)
		return
	}
	request := &pb.InternalRaftRequest{ClusterMemberAttrSet: &membershippb.ClusterMemberAttrSetRequest{
		Member_ID: s.disk.Member,
		MemberAttributes: &membershippb.Attributes{
			Name: s.options.Name, ClientUrls: s.options.ClientURLs,
		},
	}}
	for s.context.Err() == nil {
		_, err := s.propose(s.context, request)
		if err == nil {
			close(s.ready)
			return
		}
		s.logger.Sugar().Warnf("cannot tell the members about this one, and try again: %v", err)
		select {
		case <-time.After(time.Second):
		case <-s.context.Done():
		}
	}
}

// followVersion agrees on the version of the API when this member begins to lead, and brings the layout of the
// database to what the members have agreed on.
func (s *Server) followVersion() {
	for {
		committed, agreed := s.State.FirstCommit.Receive(), s.State.VersionChanged.Receive()
		s.agreeOnVersion()
		s.migrate()
		select {
		case <-committed:
		case <-agreed:
		case <-s.context.Done():
			return
		}
	}
}

func (s *Server) agreeOnVersion() {
	if s.State.Cluster.Version() != nil || !s.leads() {
		return
	}
	request := &pb.InternalRaftRequest{ClusterVersionSet: &membershippb.ClusterVersionSetRequest{Ver: version.Cluster(version.Version) + ".0"}}
	ctx, cancel := context.WithTimeout(s.context, RequestTimeout)
	defer cancel()
	_, err := s.propose(ctx, request)
	if err != nil {
		s.logger.Sugar().Warnf("cannot agree on the version of the store: %v", err)
	}
}
