package api

import (
	"context"
	"errors"
	"io"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/server/v3/lease"

	"github.com/divisi-go/divisi/store/internal/server"
)

// leases is the service Lease.
type leases struct {
	s     *server.Server
	quota *quota
	pb.UnsafeLeaseServer
}

// LeaseGrant makes a lease.
func (l *leases) LeaseGrant(ctx context.Context, r *pb.LeaseGrantRequest) (*pb.LeaseGrantResponse, error) {
	err := l.quota.check(ctx, r)
	if err != nil {
		return nil, err
	}
	response, err := l.s.Grant(ctx, r)
	return signed(l.s, response, err)
}

// LeaseRevoke ends a lease.
func (l *leases) LeaseRevoke(ctx context.Context, r *pb.LeaseRevokeRequest) (*pb.LeaseRevokeResponse, error) {
	response, err := l.s.Revoke(ctx, r)
	return signed(l.s, response, err)
}

// LeaseTimeToLive says how long a lease has left: -1 if there is none.
func (l *leases) LeaseTimeToLive(ctx context.Context, r *pb.LeaseTimeToLiveRequest) (*pb.LeaseTimeToLiveResponse, error) {
	response, err := l.s.TimeToLive(ctx, r)
	if errors.Is(err, lease.ErrLeaseNotFound) {
		response, err = &pb.LeaseTimeToLiveResponse{Header: &pb.ResponseHeader{}, ID: r.ID, TTL: -1}, nil
	}
	return signed(l.s, response, err)
}

// LeaseLeases lists the leases.
func (l *leases) LeaseLeases(ctx context.Context, _ *pb.LeaseLeasesRequest) (*pb.LeaseLeasesResponse, error) {
	response, err := l.s.Leases(ctx)
	return signed(l.s, response, err)
}

// LeaseKeepAlive lets leases begin anew as often as the client says. It ends with the context of the stream, which
// ends before a message comes when there is no leader.
func (l *leases) LeaseKeepAlive(stream pb.Lease_LeaseKeepAliveServer) error {
	failed := make(chan error, 1)
	go func() { failed <- l.keepAlive(stream) }()
	select {
	case err := <-failed:
		return err
	case <-stream.Context().Done():
		return stream.Context().Err()
	}
}

func (l *leases) keepAlive(stream pb.Lease_LeaseKeepAliveServer) error {
	for {
		r, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}

		// The header is made before: a lease that was revoked at a revision is not told to live at a later one.
		response := &pb.LeaseKeepAliveResponse{Header: header(l.s), ID: r.ID}
		response.TTL, err = l.s.Renew(stream.Context(), lease.LeaseID(r.ID))
		if err != nil && !errors.Is(err, lease.ErrLeaseNotFound) { // that is a time to live of 0
			return told(err)
		}
		err = stream.Send(response)
		if err != nil {
			return err
		}
	}
}
