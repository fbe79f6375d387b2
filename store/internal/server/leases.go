package server

import (
	"context"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/server/v3/auth"
	servererrors "go.etcd.io/etcd/server/v3/etcdserver/errors"
	"go.etcd.io/etcd/server/v3/lease"
)

const (
	// applyWait is how long a question about a lease waits for the entries that may be about it.
	applyWait = time.Second

	// revokers is how many leases that have expired are revoked at a time.
	revokers = 16
)

// Grant makes a lease; one with the ID 0 gets one.
func (s *Server) Grant(ctx context.Context, r *pb.LeaseGrantRequest) (*pb.LeaseGrantResponse, error) {
	for r.ID == int64(lease.NoLease) {
		r.ID = int64(s.ids.Next() &^ (1 << 63))
	}
	err := s.Known(ctx)
	if err != nil {
		return nil, err
	}
	return Ask[*pb.LeaseGrantResponse](ctx, s, &pb.InternalRaftRequest{LeaseGrant: r})
}

// Revoke ends a lease, and deletes its keys.
func (s *Server) Revoke(ctx context.Context, r *pb.LeaseRevokeRequest) (*pb.LeaseRevokeResponse, error) {
	err := s.Known(ctx)
	if err != nil {
		return nil, err
	}
	return Ask[*pb.LeaseRevokeResponse](ctx, s, &pb.InternalRaftRequest{LeaseRevoke: r})
}

// Renew lets a lease begin anew, and returns its time to live in seconds. Only the leader knows how long leases
// have left, so the answer comes from it, and only if it leads for certain.
func (s *Server) Renew(ctx context.Context, id lease.LeaseID) (int64, error) {
	revision, err := s.keysPermitted(ctx, id, s.State.Auth.IsPutPermitted)
	if err != nil {
		return 0, err
	}
	a, err := s.askLeader(ctx, question{Renew: &id})
	if err != nil {
		return 0, err
	}
	return a.TTL, s.usersAsBefore(revision)
}

func (s *Server) renewHere(ctx context.Context, id lease.LeaseID) (int64, error) {
	if !s.leads() || !s.ensureLeads(ctx) {
		return 0, lease.ErrNotPrimary
	}
	if s.State.Lessor.Lookup(id) == nil {
		err := s.caughtUp() // the entry that grants it may be on its way
		if err != nil {
			return 0, err
		}
	}
	return s.State.Lessor.Renew(id)
}

// caughtUp returns when all that is committed is applied.
func (s *Server) caughtUp() error {
	select {
	case <-s.State.Reached.Wait(s.CommittedIndex()):
		return nil
	case <-time.After(applyWait):
		return servererrors.ErrTimeoutWaitAppliedIndex
	case <-s.context.Done():
		return servererrors.ErrStopped
	}
}

// keysPermitted refuses who may not do something with all keys of a lease. It returns the revision of the users
// that it has looked at.
func (s *Server) keysPermitted(ctx context.Context, id lease.LeaseID, permitted func(*auth.AuthInfo, []byte) error) (uint64, error) {
	revision := s.State.Auth.Revision()
	if !s.State.Auth.IsAuthEnabled() {
		return revision, nil
	}
	err := s.Known(ctx)
	if err != nil {
		return 0, err
	}
	who, err := s.Who(ctx)
	if err != nil {
		return 0, err
	}
	if s.State.Auth.IsAdminPermitted(who) == nil {
		return revision, nil
	}
	if s.State.Lessor.Lookup(id) == nil { // other members may have it already
		err = s.Linearize(ctx)
		if err != nil {
			return 0, err
		}
	}
	found := s.State.Lessor.Lookup(id)
	if found == nil {
		return revision, nil
	}
	for _, key := range found.Keys() {
		err := permitted(who, []byte(key))
		if err != nil {
			return 0, err
		}
	}
	return revision, nil
}

// usersAsBefore refuses what was permitted to users who may have changed since.
func (s *Server) usersAsBefore(revision uint64) error {
	if s.State.Auth.IsAuthEnabled() && revision != s.State.Auth.Revision() {
		return auth.ErrAuthOldRevision
	}
	return nil
}

func (s *Server) readable(who *auth.AuthInfo, key []byte) error {
	return s.State.Auth.IsRangePermitted(who, key, []byte{})
}

// TimeToLive says how long a lease has left, and its keys if that is asked for.
func (s *Server) TimeToLive(ctx context.Context, r *pb.LeaseTimeToLiveRequest) (*pb.LeaseTimeToLiveResponse, error) {
	err := s.Known(ctx)
	if err != nil {
		return nil, err
	}
	var revision uint64
	if r.Keys {
		revision, err = s.keysPermitted(ctx, lease.LeaseID(r.ID), s.readable)
		if err != nil {
			return nil, err
		}
	}
	a, err := s.askLeader(ctx, question{Left: &leaseAsked{lease.LeaseID(r.ID), r.Keys}})
	if err != nil {
		return nil, err
	}
	if r.Keys {
		err = s.usersAsBefore(revision)
		if err != nil {
			return nil, err
		}
	}
	return &pb.LeaseTimeToLiveResponse{
		Header: &pb.ResponseHeader{}, ID: r.ID, TTL: a.Left.TTL, GrantedTTL: a.Left.Granted, Keys: a.Left.Keys,
	}, nil
}

// leftHere says how long a lease has left, where this member leads.
func (s *Server) leftHere(asked leaseAsked) (*leaseLeft, error) {
	if !s.leads() {
		return nil, servererrors.ErrNotLeader
	}
	err := s.caughtUp()
	if err != nil {
		return nil, err
	}
	found := s.State.Lessor.Lookup(asked.ID)
	if found == nil {
		return nil, lease.ErrLeaseNotFound
	}
	left := &leaseLeft{TTL: int64(found.Remaining().Seconds()), Granted: found.TTL()}
	if asked.Keys {
		for _, key := range found.Keys() {
			left.Keys = append(left.Keys, []byte(key))
		}
	}
	if found.Demoted() { // another member counts it by now, or this one does not yet
		return nil, lease.ErrNotPrimary
	}
	return left, nil
}

// Leases lists the leases.
func (s *Server) Leases(ctx context.Context) (*pb.LeaseLeasesResponse, error) {
	err := s.Linearize(ctx)
	if err != nil {
		return nil, err
	}
	revision := s.State.Auth.Revision()
	response := &pb.LeaseLeasesResponse{Header: &pb.ResponseHeader{}, Leases: []*pb.LeaseStatus{}}
	for _, l := range s.State.Lessor.Leases() {
		_, err := s.keysPermitted(ctx, l.ID, s.readable)
		if err != nil {
			return nil, err
		}
		response.Leases = append(response.Leases, &pb.LeaseStatus{ID: int64(l.ID)})
	}
	err = s.Known(ctx)
	if err != nil {
		return nil, err
	}
	return response, s.usersAsBefore(revision)
}

// revokeExpired revokes leases whose time is over, while this member leads for certain. A lease that is not revoked
// now comes again.
func (s *Server) revokeExpired() {
	slots := make(chan struct{}, revokers)
	for {
		select {
		case expired := <-s.State.Lessor.ExpiredLeasesC():
			if !s.ensureLeads(s.context) {
				continue
			}
			for _, l := range expired {
				select {
				case slots <- struct{}{}:
				case <-s.context.Done():
					return
				}
				s.start(func() {
					defer func() { <-slots }()
					_, err := s.Revoke(s.State.Auth.WithRoot(s.context), &pb.LeaseRevokeRequest{ID: int64(l.ID)})
					if err != nil && err != lease.ErrLeaseNotFound {
						s.logger.Sugar().Warnf("cannot revoke the lease %x, which has expired: %v", int64(l.ID), err)
					}
				})
			}
		case <-s.context.Done():
			return
		}
	}
}

// checkpointLeases writes how long leases have left, for the next leader.
func (s *Server) checkpointLeases(ctx context.Context, r *pb.LeaseCheckpointRequest) error {
	if !s.ensureLeads(ctx) {
		return lease.ErrNotPrimary
	}
	_, err := s.propose(ctx, &pb.InternalRaftRequest{LeaseCheckpoint: r})
	return err
}
