package server

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/membershippb"
	"go.etcd.io/etcd/api/v3/version"
	"go.etcd.io/etcd/client/pkg/v3/types"
	"go.etcd.io/etcd/server/v3/etcdserver/api/membership"
	"go.etcd.io/raft/v3"
)

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

// publish tells the members where clients find this one. The member is ready when that is in the log.
func (s *Server) publish() {
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
