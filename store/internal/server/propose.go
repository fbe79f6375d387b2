package server

import (
	"context"
	"errors"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/client/pkg/v3/types"
	"go.etcd.io/etcd/server/v3/auth"
	"go.etcd.io/etcd/server/v3/etcdserver/apply"
	servererrors "go.etcd.io/etcd/server/v3/etcdserver/errors"
	"go.etcd.io/raft/v3"
	"google.golang.org/protobuf/proto"
)

// maxBehind is how many entries may be committed and not applied before requests are refused.
const maxBehind = 5000

// Ask proposes a request, and returns its answer when it is applied here. A caller whose context ends before does
// not know whether it is.
func Ask[R proto.Message](ctx context.Context, s *Server, request *pb.InternalRaftRequest) (R, error) {
	var none R
	result, err := s.propose(ctx, request)
	if err != nil {
		return none, err
	}
	if result.Err != nil {
		return none, result.Err
	}
	return result.Resp.(R), nil
}

// propose returns what came of a request, which may be that it was refused.
func (s *Server) propose(ctx context.Context, request *pb.InternalRaftRequest) (*apply.Result, error) {
	if s.CommittedIndex() > s.AppliedIndex()+maxBehind {
		return nil, servererrors.ErrTooManyRequests
	}

	// Who asks is in the entry, so all members decide alike about it.
	request.Header = &pb.RequestHeader{ID: s.ids.Next()}
	if request.Authenticate == nil {
		who, err := s.Who(ctx)
		if err != nil {
			return nil, err
		}
		if who != nil {
			request.Header.Username, request.Header.AuthRevision = who.Username, who.Revision
		}
	}
	data, err := proto.Marshal(request)
	if err != nil {
		return nil, err
	}
	if len(data) > s.options.MaxRequestBytes {
		return nil, servererrors.ErrRequestTooLarge
	}

	id := request.Header.ID
	answer := s.State.Waiting.Register(id)
	defer s.State.Waiting.Trigger(id, nil) // nobody waits any more
	ctx, cancel := context.WithTimeout(ctx, RequestTimeout)
	defer cancel()
	err = s.driver.Propose(ctx, data)
	if err != nil {
		return nil, s.whyNot(ctx, err)
	}

	select {
	case result := <-answer:
		return result.(*apply.Result), nil
	case <-ctx.Done():
		return nil, s.whyNot(ctx, ctx.Err())
	case <-s.context.Done():
		return nil, servererrors.ErrStopped
	}
}

// whyNot returns the error of a request that has got no answer.
func (s *Server) whyNot(ctx context.Context, err error) error {
	switch {
	case errors.Is(err, raft.ErrStopped) || s.context.Err() != nil:
		return servererrors.ErrStopped
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return servererrors.ErrTimeout
	case errors.Is(ctx.Err(), context.Canceled):
		return servererrors.ErrCanceled
	}
	return err
}

// FullSoon raises the alarm that the database is full.
func (s *Server) FullSoon(then func()) {
	s.start(func() {
		defer then()
		s.RaiseFull(s.context)
	})
}

// RaiseFull puts the alarm into the log, so that all members refuse alike from then on.
func (s *Server) RaiseFull(ctx context.Context) { s.raise(ctx, s.MemberID(), pb.AlarmType_NOSPACE) }

func (s *Server) raise(ctx context.Context, about types.ID, alarm pb.AlarmType) {
	_, err := s.propose(s.State.Auth.WithRoot(ctx), &pb.InternalRaftRequest{Alarm: &pb.AlarmRequest{
		MemberID: uint64(about), Action: pb.AlarmRequest_ACTIVATE, Alarm: alarm,
	}})
	if err != nil {
		s.logger.Sugar().Warnf("cannot raise the alarm %s: %v", alarm, err)
	}
}

// Who returns who asks, by the token or the certificate; nil is nobody in particular.
func (s *Server) Who(ctx context.Context) (*auth.AuthInfo, error) {
	who, err := s.State.Auth.AuthInfoFromCtx(ctx)
	if who != nil || err != nil || !s.options.CertUsers {
		return who, err
	}
	return s.State.Auth.AuthInfoFromTLS(ctx), nil
}

// Admin refuses who is not an administrator, where there are users.
func (s *Server) Admin(ctx context.Context) error {
	who, err := s.Who(ctx)
	if err != nil {
		return err
	}
	return s.State.Auth.IsAdminPermitted(who)
}

// Known refuses who is nobody in particular, where there are users.
func (s *Server) Known(ctx context.Context) error {
	if !s.State.Auth.IsAuthEnabled() {
		return nil
	}
	who, err := s.Who(ctx)
	if err == nil && who == nil {
		err = auth.ErrUserEmpty
	}
	return err
}

// permitted reads with the permission of who asks. Users may change meanwhile; then what was read is not shown.
func (s *Server) permitted(ctx context.Context, check func(*auth.AuthInfo) error, read func() error) error {
	who, err := s.Who(ctx)
	if err != nil {
		return err
	}
	if who == nil {
		who = &auth.AuthInfo{}
	}
	err = check(who)
	if err != nil {
		return err
	}
	err = read()
	if err != nil {
		return err
	}
	if who.Revision != 0 && who.Revision != s.State.Auth.Revision() {
		return auth.ErrAuthOldRevision
	}
	return nil
}
