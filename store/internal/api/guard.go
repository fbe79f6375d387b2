package api

import (
	"context"
	"errors"
	"time"
	"unicode/utf8"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"go.etcd.io/etcd/pkg/v3/notify"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/divisi-go/divisi/store/internal/drive"
	"github.com/divisi-go/divisi/store/internal/server"
)

// patience is how long streams that want a leader stay without one. To connect again costs more than a call, so a
// usual election does not end them.
const patience = 3 * drive.Election

// guard looks at calls before the services do.
type guard struct {
	s    *server.Server
	lost *notify.Notifier // tells that there was no leader for longer than patience
}

func newGuard(s *server.Server) *guard {
	g := &guard{s: s, lost: notify.NewNotifier()}
	go g.watchLeader()
	return g
}

// watchLeader tells streams when there is no leader for too long.
func (g *guard) watchLeader() {
	ticker := time.NewTicker(drive.Election)
	defer ticker.Stop()
	var without time.Duration
	for {
		select {
		case <-ticker.C:
		case <-g.s.Ended():
			return
		}
		if g.s.Leader() != 0 {
			without = 0
			continue
		}
		without += drive.Election
		if without >= patience {
			g.lost.Notify()
		}
	}
}

// check refuses calls that this member cannot serve. It says whether the caller wants to be told when there is no
// leader.
func (g *guard) check(ctx context.Context, learners bool) (wantsLeader bool, err error) {
	if !learners && g.s.Learner() {
		return false, rpctypes.ErrGRPCNotSupportedForLearner
	}
	md, _ := metadata.FromIncomingContext(ctx)
	for _, version := range md.Get(rpctypes.MetadataClientAPIVersionKey) {
		if !utf8.ValidString(version) {
			return false, rpctypes.ErrGRPCInvalidClientAPIVersion
		}
	}
	values := md.Get(rpctypes.MetadataRequireLeaderKey)
	wantsLeader = len(values) > 0 && values[0] == rpctypes.MetadataHasLeader
	if wantsLeader && g.s.Leader() == 0 {
		return true, rpctypes.ErrGRPCNoLeader
	}
	return wantsLeader, nil
}

func (g *guard) unary(ctx context.Context, request any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	_, err := g.check(ctx, forLearners(request))
	if err != nil {
		return nil, err
	}
	return handler(ctx, request)
}

// forLearners says whether a member that does not vote answers a request too.
func forLearners(request any) bool {
	switch r := request.(type) {
	case *pb.StatusRequest:
		return true
	case *pb.RangeRequest:
		return r.Serializable
	}
	return false
}

// stream serves a stream until serving ends, or, if its client wants a leader, until there is none for too long.
func (g *guard) stream(serving context.Context, service any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	lost := g.lost.Receive()
	wantsLeader, err := g.check(stream.Context(), info.FullMethod == pb.Maintenance_Snapshot_FullMethodName)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(stream.Context())
	defer cancel(nil)
	defer context.AfterFunc(serving, func() { cancel(rpctypes.ErrGRPCStopped) })()
	if wantsLeader {
		go func() {
			select {
			case <-lost:
				cancel(rpctypes.ErrGRPCNoLeader)
			case <-ctx.Done():
			}
		}()
	}

	err = handler(service, bounded{stream, ctx})
	cause := context.Cause(ctx)
	if errors.Is(cause, rpctypes.ErrGRPCNoLeader) || errors.Is(cause, rpctypes.ErrGRPCStopped) {
		return cause
	}
	return err
}

// bounded is a stream whose context ends before its client ends it.
type bounded struct {
	grpc.ServerStream
	context context.Context
}

func (b bounded) Context() context.Context { return b.context }
