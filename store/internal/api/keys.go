package api

import (
	"context"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"go.etcd.io/etcd/server/v3/etcdserver/txn"
	"go.etcd.io/etcd/server/v3/storage"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/divisi-go/divisi/store/internal/server"
)

// keys is the service KV.
type keys struct {
	s     *server.Server
	quota *quota
	pb.UnsafeKVServer
}

// Range reads keys.
func (k *keys) Range(ctx context.Context, r *pb.RangeRequest) (*pb.RangeResponse, error) {
	err := checkRange(r)
	if err != nil {
		return nil, err
	}
	response, err := k.s.Range(ctx, r)
	return signed(k.s, response, err)
}

// RangeStream reads keys in parts.
func (k *keys) RangeStream(r *pb.RangeRequest, stream pb.KV_RangeStreamServer) error {
	err := checkRange(r)
	if err != nil {
		return err
	}
	if !txn.IsDefaultOrdering(r.SortTarget, r.SortOrder) || txn.HasRevisionFilters(r) {
		return status.Error(codes.Unimplemented, "cannot stream a range that is sorted or filtered by revisions: use Range")
	}
	err = k.s.RangeStream(stream.Context(), r, func(part *pb.RangeResponse) error {
		sign(k.s, part.Header)
		return stream.Send(&pb.RangeStreamResponse{RangeResponse: part})
	})
	return told(err)
}

// Put writes a key.
func (k *keys) Put(ctx context.Context, r *pb.PutRequest) (*pb.PutResponse, error) {
	err := checkPut(r)
	if err == nil {
		err = k.quota.check(ctx, r)
	}
	if err != nil {
		return nil, err
	}
	response, err := k.s.Put(ctx, r)
	return signed(k.s, response, err)
}

// DeleteRange deletes keys.
func (k *keys) DeleteRange(ctx context.Context, r *pb.DeleteRangeRequest) (*pb.DeleteRangeResponse, error) {
	if len(r.Key) == 0 {
		return nil, rpctypes.ErrGRPCEmptyKey
	}
	response, err := k.s.DeleteRange(ctx, r)
	return signed(k.s, response, err)
}

// Txn does a transaction.
func (k *keys) Txn(ctx context.Context, r *pb.TxnRequest) (*pb.TxnResponse, error) {
	err := checkTxn(r, k.s.Options().MaxTxnOps)
	if err == nil {
		err = k.quota.check(ctx, r)
	}
	if err != nil {
		return nil, err
	}
	response, err := k.s.Txn(ctx, r)
	return signed(k.s, response, err)
}

// Compact forgets what keys were before a revision.
func (k *keys) Compact(ctx context.Context, r *pb.CompactionRequest) (*pb.CompactionResponse, error) {
	err := k.s.Admin(ctx)
	if err != nil {
		return nil, told(err)
	}
	response, err := k.s.Compact(ctx, r)
	return signed(k.s, response, err)
}

// quota refuses what would not fit before it comes into the log, and raises the alarm. Members whose quotas differ
// decide alike by the alarm, which is in the log. While it is on, what would be refused for it does not come there
// either: the disk may have no room for it.
type quota struct{ s *server.Server }

func newQuota(s *server.Server) *quota { return &quota{s} }

func (q *quota) check(ctx context.Context, request any) error {
	options := q.s.Options()
	left := storage.NewBackendQuota(q.s.Logger(), options.Quota, q.s.State.Backend(), "api")
	grows := left.Cost(request) > 0
	switch {
	case grows && len(q.s.State.Alarms(pb.AlarmType_NOSPACE)) > 0:
		return rpctypes.ErrGRPCNoSpace
	case !left.Available(request):
		q.s.RaiseFull(ctx)
		return rpctypes.ErrGRPCNoSpace
	}
	return nil
}
