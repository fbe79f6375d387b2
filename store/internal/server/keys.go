package server

import (
	"bytes"
	"context"
	"math"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/server/v3/auth"
	"go.etcd.io/etcd/server/v3/etcdserver/apply"
	"go.etcd.io/etcd/server/v3/etcdserver/txn"
	"go.etcd.io/etcd/server/v3/storage/backend"
	"google.golang.org/protobuf/proto"
)

// firstChunk is how many keys the first part of a streamed range has; those that follow are about as large as a
// request may be.
const firstChunk = 10

// Linearize returns when everything is applied here that was answered to anybody before.
func (s *Server) Linearize(ctx context.Context) error { return s.reads.LinearizableReadNotify(ctx) }

// Range reads keys.
func (s *Server) Range(ctx context.Context, r *pb.RangeRequest) (*pb.RangeResponse, error) {
	var response *pb.RangeResponse
	err := s.reading(ctx, r, func() (err error) {
		response, _, err = txn.Range(ctx, s.logger, s.State.KV, r, true)
		return err
	})
	return response, err
}

func (s *Server) reading(ctx context.Context, r *pb.RangeRequest, read func() error) error {
	if !r.Serializable {
		err := s.Linearize(ctx)
		if err != nil {
			return err
		}
	}
	return s.permitted(ctx, func(who *auth.AuthInfo) error {
		return s.State.Auth.IsRangePermitted(who, r.Key, r.RangeEnd)
	}, read)
}

// RangeStream reads keys in parts, all of them as of one revision. The last part has the header and the count.
func (s *Server) RangeStream(ctx context.Context, r *pb.RangeRequest, send func(*pb.RangeResponse) error) error {
	return s.reading(ctx, r, func() error {
		if r.CountOnly {
			response, _, err := txn.Range(ctx, s.logger, s.State.KV, r, false)
			if err != nil {
				return err
			}
			return send(response)
		}
		return s.rangeParts(ctx, proto.Clone(r).(*pb.RangeRequest), send)
	})
}

func (s *Server) rangeParts(ctx context.Context, r *pb.RangeRequest, send func(*pb.RangeResponse) error) error {
	limit := r.Limit
	if limit == 0 {
		limit = math.MaxInt64
	}
	var sent, revision int64
	for chunk := int64(firstChunk); ; {
		r.Limit = min(chunk, limit-sent)
		part, _, err := txn.Range(ctx, s.logger, s.State.KV, r, false)
		if err != nil {
			return err
		}
		if revision == 0 {
			revision = part.Header.Revision
		}
		if r.Revision == 0 {
			r.Revision = revision // writes of others do not show in later parts
		}
		sent += int64(len(part.Kvs))

		if !part.More || sent == limit {
			last := &pb.RangeResponse{Header: &pb.ResponseHeader{Revision: revision}, Kvs: part.Kvs, More: part.More, Count: sent}
			if part.More {
				rest, err := txn.Count(ctx, s.logger, s.State.KV, after(part), r.RangeEnd, r.Revision)
				if err != nil {
					return err
				}
				last.Count += rest
			}
			return send(last)
		}
		err = send(&pb.RangeResponse{Kvs: part.Kvs})
		if err != nil {
			return err
		}
		r.Key = after(part)
		chunk = nextChunk(r.Limit, proto.Size(part), s.options.MaxRequestBytes)
	}
}

// after returns the first key that may follow a part.
func after(part *pb.RangeResponse) []byte {
	return append(bytes.Clone(part.Kvs[len(part.Kvs)-1].Key), 0)
}

// nextChunk returns how many keys come about to a size, by what the last ones came to.
func nextChunk(keys int64, size, want int) int64 {
	switch {
	case size < want/2:
		return keys * 2
	case size > want*2:
		return max(1, keys/2)
	}
	return keys
}

// Put writes a key.
func (s *Server) Put(ctx context.Context, r *pb.PutRequest) (*pb.PutResponse, error) {
	return Ask[*pb.PutResponse](ctx, s, &pb.InternalRaftRequest{Put: r})
}

// DeleteRange deletes keys.
func (s *Server) DeleteRange(ctx context.Context, r *pb.DeleteRangeRequest) (*pb.DeleteRangeResponse, error) {
	return Ask[*pb.DeleteRangeResponse](ctx, s, &pb.InternalRaftRequest{DeleteRange: r})
}

// Txn does a transaction. One that only reads is not written to the log.
func (s *Server) Txn(ctx context.Context, r *pb.TxnRequest) (*pb.TxnResponse, error) {
	if !txn.IsTxnReadonly(r) {
		return Ask[*pb.TxnResponse](ctx, s, &pb.InternalRaftRequest{Txn: r})
	}
	if !txn.IsTxnSerializable(r) {
		err := s.Linearize(ctx)
		if err != nil {
			return nil, err
		}
	}
	var response *pb.TxnResponse
	err := s.permitted(ctx, func(who *auth.AuthInfo) error {
		return apply.CheckTxnAuth(s.State.Auth, who, s.State.Lessor, r)
	}, func() (err error) {
		response, _, err = txn.Txn(ctx, s.logger, r, true, s.State.KV, s.State.Lessor, false)
		return err
	})
	return response, err
}

// Compact forgets what keys were before a revision. A physical one returns when that is on the disk.
func (s *Server) Compact(ctx context.Context, r *pb.CompactionRequest) (*pb.CompactionResponse, error) {
	result, err := s.propose(ctx, &pb.InternalRaftRequest{Compaction: r})
	if err != nil {
		return nil, err
	}
	if r.Physical && result.Physc != nil {
		select {
		case <-result.Physc:
		case <-s.context.Done():
		}
		// Were the process to end now, the compaction would go on at the next start, and a hash change again.
		_ = s.State.UseBackend(func(b backend.Backend) error {
			b.ForceCommit()
			return nil
		})
	}
	if result.Err != nil {
		return nil, result.Err
	}
	return &pb.CompactionResponse{Header: &pb.ResponseHeader{Revision: s.State.KV.Rev()}}, nil
}
