package api

import (
	"context"
	"crypto/rand"
	"encoding/binary"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"go.etcd.io/etcd/client/pkg/v3/types"
	"go.etcd.io/etcd/server/v3/etcdserver/api/membership"

	"github.com/divisi-go/divisi/store/internal/server"
)

// cluster is the service Cluster.
type cluster struct {
	s *server.Server
	pb.UnsafeClusterServer
}

// MemberAdd adds a member. Its ID is random, so none ever comes back.
func (c *cluster) MemberAdd(ctx context.Context, r *pb.MemberAddRequest) (*pb.MemberAddResponse, error) {
	urls, err := types.NewURLs(r.PeerURLs)
	if err != nil {
		return nil, rpctypes.ErrGRPCMemberBadURLs
	}
	var id [8]byte
	_, _ = rand.Read(id[:]) // it does not fail
	m := &membership.Member{
		ID:             types.ID(binary.BigEndian.Uint64(id[:])),
		RaftAttributes: membership.RaftAttributes{PeerURLs: urls.StringSlice(), IsLearner: r.IsLearner},
	}
	members, err := c.s.AddMember(ctx, m)
	if err != nil {
		return nil, told(err)
	}
	return &pb.MemberAddResponse{Header: header(c.s), Member: shown(m), Members: list(members)}, nil
}

// MemberRemove removes a member.
func (c *cluster) MemberRemove(ctx context.Context, r *pb.MemberRemoveRequest) (*pb.MemberRemoveResponse, error) {
	members, err := c.s.RemoveMember(ctx, r.ID)
	return signed(c.s, &pb.MemberRemoveResponse{Header: header(c.s), Members: list(members)}, err)
}

// MemberUpdate changes what a member is called.
func (c *cluster) MemberUpdate(ctx context.Context, r *pb.MemberUpdateRequest) (*pb.MemberUpdateResponse, error) {
	urls, err := types.NewURLs(r.PeerURLs)
	if err != nil {
		return nil, rpctypes.ErrGRPCMemberBadURLs
	}
	members, err := c.s.UpdateMember(ctx, &membership.Member{
		ID: types.ID(r.ID), RaftAttributes: membership.RaftAttributes{PeerURLs: urls.StringSlice()},
	})
	return signed(c.s, &pb.MemberUpdateResponse{Header: header(c.s), Members: list(members)}, err)
}

// MemberList lists the members.
func (c *cluster) MemberList(ctx context.Context, r *pb.MemberListRequest) (*pb.MemberListResponse, error) {
	members, err := c.s.Members(ctx, r.Linearizable)
	return signed(c.s, &pb.MemberListResponse{Header: header(c.s), Members: list(members)}, err)
}

// MemberPromote makes a voter of a learner.
func (c *cluster) MemberPromote(ctx context.Context, r *pb.MemberPromoteRequest) (*pb.MemberPromoteResponse, error) {
	members, err := c.s.PromoteMember(ctx, r.ID)
	return signed(c.s, &pb.MemberPromoteResponse{Header: header(c.s), Members: list(members)}, err)
}

func list(members []*membership.Member) []*pb.Member {
	result := make([]*pb.Member, len(members))
	for i, m := range members {
		result[i] = shown(m)
	}
	return result
}

func shown(m *membership.Member) *pb.Member {
	return &pb.Member{ID: uint64(m.ID), Name: m.Name, PeerURLs: m.PeerURLs, ClientURLs: m.ClientURLs, IsLearner: m.IsLearner}
}
