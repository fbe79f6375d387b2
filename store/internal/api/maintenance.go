package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	"hash"
	"io"

	"github.com/coreos/go-semver/semver"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"go.etcd.io/etcd/api/v3/version"
	servererrors "go.etcd.io/etcd/server/v3/etcdserver/errors"
	"go.etcd.io/etcd/server/v3/storage/backend"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"

	"github.com/divisi-go/divisi/store/internal/server"
)

// snapshotChunk is how much of a snapshot is one message. With what it says besides, that is the 32 KB for which gRPC has
// buffers: the next larger ones are of 1 MB, and cleared as a whole.
const snapshotChunk = 32<<10 - 64

// maintenance is the service Maintenance.
type maintenance struct {
	s      *server.Server
	health *health.Server
	pb.UnsafeMaintenanceServer
}

// Alarm switches alarms, or lists them.
func (m *maintenance) Alarm(ctx context.Context, r *pb.AlarmRequest) (*pb.AlarmResponse, error) {
	permitted := m.s.Admin
	if r.Action == pb.AlarmRequest_GET {
		permitted = m.s.Known
	}
	err := permitted(ctx)
	if err != nil {
		return nil, told(err)
	}
	response, err := server.Ask[*pb.AlarmResponse](ctx, m.s, &pb.InternalRaftRequest{Alarm: r})
	if err != nil {
		return nil, told(err)
	}
	response.Header = header(m.s)
	return response, nil
}

// Status says how this member is.
func (m *maintenance) Status(ctx context.Context, _ *pb.StatusRequest) (*pb.StatusResponse, error) {
	err := m.s.Known(ctx)
	if err != nil {
		return nil, told(err)
	}
	database := m.s.State.Backend()
	r := &pb.StatusResponse{
		Header:           header(m.s),
		Version:          version.Version,
		DbSize:           database.Size(),
		DbSizeInUse:      database.SizeInUse(),
		DbSizeQuota:      m.s.Options().Quota,
		Leader:           uint64(m.s.Leader()),
		RaftIndex:        m.s.CommittedIndex(),
		RaftAppliedIndex: m.s.AppliedIndex(),
		RaftTerm:         m.s.Term(),
		IsLearner:        m.s.Learner(),
		DowngradeInfo:    &pb.DowngradeInfo{},
	}
	layout := m.s.StorageVersion()
	if layout != nil {
		r.StorageVersion = layout.String()
	}
	if r.Leader == 0 {
		r.Errors = append(r.Errors, servererrors.ErrNoLeader.Error())
	}
	for _, alarm := range m.s.Alarms() {
		r.Errors = append(r.Errors, alarm.String())
	}
	return r, nil
}

// Defragment gives the disk back what the database does not use. This member serves nothing meanwhile.
func (m *maintenance) Defragment(ctx context.Context, _ *pb.DefragmentRequest) (*pb.DefragmentResponse, error) {
	err := m.s.Admin(ctx)
	if err != nil {
		return nil, told(err)
	}
	m.health.SetServingStatus("", grpc_health_v1.HealthCheckResponse_NOT_SERVING)
	defer m.health.SetServingStatus("", grpc_health_v1.HealthCheckResponse_SERVING)
	err = m.s.State.Defragment()
	return signed(m.s, &pb.DefragmentResponse{Header: header(m.s)}, err)
}

// Hash returns a check sum of the database.
func (m *maintenance) Hash(ctx context.Context, _ *pb.HashRequest) (*pb.HashResponse, error) {
	err := m.s.Admin(ctx)
	if err != nil {
		return nil, told(err)
	}
	sum, revision, err := m.s.State.KV.HashStorage().Hash()
	return signed(m.s, &pb.HashResponse{Header: &pb.ResponseHeader{Revision: revision}, Hash: sum}, err)
}

// HashKV returns a check sum of the keys as of a revision, which is the same on all members.
func (m *maintenance) HashKV(ctx context.Context, r *pb.HashKVRequest) (*pb.HashKVResponse, error) {
	err := m.s.Admin(ctx)
	if err != nil {
		return nil, told(err)
	}
	hash, revision, err := m.s.State.KV.HashStorage().HashByRev(r.Revision)
	return signed(m.s, &pb.HashKVResponse{
		Header: &pb.ResponseHeader{Revision: revision},
		Hash:   hash.Hash, HashRevision: hash.Revision, CompactRevision: hash.CompactRevision,
	}, err)
}

// Snapshot sends the database, and its SHA-256 sum after it.
func (m *maintenance) Snapshot(_ *pb.SnapshotRequest, stream pb.Maintenance_SnapshotServer) error {
	err := m.s.Admin(stream.Context())
	if err != nil {
		return told(err)
	}
	layout := ""
	found := m.s.StorageVersion()
	if found != nil {
		layout = found.String()
	}

	var snapshot backend.Snapshot
	_ = m.s.State.UseBackend(func(b backend.Backend) error {
		snapshot = b.Snapshot()
		return nil
	})
	out := &blobs{
		layout: layout, left: uint64(snapshot.Size()), full: make([]byte, 0, snapshotChunk), sum: sha256.New(), send: stream.Send,
	}
	_, err = snapshot.WriteTo(out)
	if err == nil {
		err = out.flush()
	}
	closed := snapshot.Close()
	if err == nil {
		err = closed
	}
	if err != nil {
		return told(err)
	}
	return stream.Send(&pb.SnapshotResponse{Blob: out.sum.Sum(nil), Version: layout})
}

// blobs sends what is written to it, in messages that say how much follows, and sums it up.
type blobs struct {
	layout string
	left   uint64
	full   []byte // less than a message
	sum    hash.Hash
	send   func(*pb.SnapshotResponse) error
}

func (b *blobs) Write(p []byte) (int, error) {
	n, err := b.ReadFrom(bytes.NewReader(p))
	return int(n), err
}

// ReadFrom reads into messages: most of a snapshot is a file, and need not be copied on its way.
func (b *blobs) ReadFrom(r io.Reader) (int64, error) {
	var all int64
	for {
		n, err := io.ReadFull(r, b.full[len(b.full):cap(b.full)])
		b.full = b.full[:len(b.full)+n]
		all += int64(n)
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return all, nil
		}
		if err == nil {
			err = b.flush()
		}
		if err != nil {
			return all, err
		}
	}
}

// flush sends what is there. A client in this process gets the memory itself, so the next message has its own.
func (b *blobs) flush() error {
	if len(b.full) == 0 {
		return nil
	}
	_, _ = b.sum.Write(b.full) // it does not fail
	b.left -= min(b.left, uint64(len(b.full)))
	err := b.send(&pb.SnapshotResponse{Blob: b.full, RemainingBytes: b.left, Version: b.layout})
	b.full = make([]byte, 0, snapshotChunk)
	return err
}

// MoveLeader hands the lead over.
func (m *maintenance) MoveLeader(ctx context.Context, r *pb.MoveLeaderRequest) (*pb.MoveLeaderResponse, error) {
	err := m.s.Admin(ctx)
	if err == nil {
		err = m.s.MoveLeader(ctx, r.TargetID)
	}
	return signed(m.s, &pb.MoveLeaderResponse{Header: header(m.s)}, err)
}

// Downgrade says to which versions this store could go, which is none: it knows one layout of its folder, and one
// version of the API. That none is going on is so when one is to be canceled, and no error, as with etcd.
func (m *maintenance) Downgrade(ctx context.Context, r *pb.DowngradeRequest) (*pb.DowngradeResponse, error) {
	err := m.s.Admin(ctx)
	if err != nil {
		return nil, told(err)
	}
	agreed := m.s.State.Cluster.Version()
	switch r.Action {
	case pb.DowngradeRequest_VALIDATE, pb.DowngradeRequest_ENABLE:
		_, err = semver.NewVersion(r.Version)
		if err != nil {
			_, err = semver.NewVersion(r.Version + ".0")
		}
		switch {
		case err != nil:
			return nil, rpctypes.ErrGRPCWrongDowngradeVersionFormat
		case agreed == nil:
			return nil, rpctypes.ErrGRPCClusterVersionUnavailable
		}
		return nil, rpctypes.ErrGRPCInvalidDowngradeTargetVersion
	case pb.DowngradeRequest_CANCEL:
		answer := &pb.DowngradeResponse{Header: header(m.s)}
		if agreed != nil {
			answer.Version = version.Cluster(agreed.String())
		}
		return answer, nil
	}
	return nil, told(servererrors.ErrUnknownMethod)
}
