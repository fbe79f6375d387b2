// Package api is etcd's v3 API: it checks what clients ask, asks the member, and says the answer as clients expect
// it. It keeps no state and decides nothing about keys.
package api

import (
	"context"
	"math"
	"net/http"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3election"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3election/v3electionpb"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3lock"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3lock/v3lockpb"
	"go.etcd.io/etcd/server/v3/proxy/grpcproxy/adapter"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/protobuf/proto"

	"github.com/divisi-go/divisi/store/internal/server"
)

const (
	// overhead is how much larger than a request its message may be.
	overhead = 512 << 10

	// maxStreams is how many calls and streams one connection may have at a time.
	maxStreams = 1000

	// workers is how many goroutines wait for calls, with stacks that have grown already; the calls and streams beyond
	// them begin one each.
	workers = 256

	// minKeepalive is how often a client may ask whether the connection still is.
	minKeepalive = 5 * time.Second
)

// API is the services of a member.
type API struct {
	Client *clientv3.Client // in this process, without a socket

	keys        *keys
	watch       *watches
	lease       *leases
	cluster     *cluster
	auth        *users
	maintenance *maintenance
	lock        v3lockpb.LockServer
	election    v3electionpb.ElectionServer
	health      *health.Server
	guard       *guard
	gateway     http.Handler
}

// New returns the services of a member, which end with the context.
func New(ctx context.Context, s *server.Server) (*API, error) {
	quota := newQuota(s)
	a := &API{
		keys:    &keys{s: s, quota: quota},
		watch:   &watches{s: s},
		lease:   &leases{s: s, quota: quota},
		cluster: &cluster{s: s},
		auth:    &users{s: s},
		health:  health.NewServer(),
		guard:   newGuard(s),
	}
	a.maintenance = &maintenance{s: s, health: a.health}
	a.health.SetServingStatus("", grpc_health_v1.HealthCheckResponse_SERVING)

	a.Client = a.connect(ctx)
	a.lock = v3lock.NewLockServer(a.Client)
	a.election = v3election.NewElectionServer(a.Client)

	var err error
	a.gateway, err = newGateway(ctx, a)
	return a, err
}

// connect returns a client that calls the services.
func (a *API) connect(ctx context.Context) *clientv3.Client {
	c := clientv3.NewCtxClient(ctx)
	c.KV = clientv3.NewKVFromKVClient(adapter.KvServerToKvClient(a.keys), c)
	c.Lease = clientv3.NewLeaseFromLeaseClient(adapter.LeaseServerToLeaseClient(a.lease), c, time.Second)
	c.Watcher = clientv3.NewWatchFromWatchClient(adapter.WatchServerToWatchClient(a.watch), c)
	c.Cluster = clientv3.NewClusterFromClusterClient(adapter.ClusterServerToClusterClient(a.cluster), c)
	c.Auth = clientv3.NewAuthFromAuthClient(adapter.AuthServerToAuthClient(a.auth), c)
	c.Maintenance = clientv3.NewMaintenanceFromMaintenanceClient(adapter.MaintenanceServerToMaintenanceClient(a.maintenance), c)
	return c
}

// Server returns a gRPC server of the services. Its streams end with the context, so that it can be stopped gracefully:
// clients begin them again elsewhere, or here when somebody serves again.
func (a *API) Server(ctx context.Context, options ...grpc.ServerOption) *grpc.Server {
	options = append([]grpc.ServerOption{
		grpc.MaxRecvMsgSize(a.keys.s.Options().MaxRequestBytes + overhead),
		grpc.MaxSendMsgSize(math.MaxInt32),
		grpc.MaxConcurrentStreams(maxStreams),
		grpc.NumStreamWorkers(workers),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: minKeepalive}),
		grpc.UnaryInterceptor(a.guard.unary),
		grpc.StreamInterceptor(func(service any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
			return a.guard.stream(ctx, service, stream, info, handler)
		}),
	}, options...)
	g := grpc.NewServer(options...)

	pb.RegisterKVServer(g, a.keys)
	pb.RegisterWatchServer(g, a.watch)
	pb.RegisterLeaseServer(g, a.lease)
	pb.RegisterClusterServer(g, a.cluster)
	pb.RegisterAuthServer(g, a.auth)
	pb.RegisterMaintenanceServer(g, a.maintenance)
	v3lockpb.RegisterLockServer(g, a.lock)
	v3electionpb.RegisterElectionServer(g, a.election)
	grpc_health_v1.RegisterHealthServer(g, a.health)
	return g
}

// header says who answers, and at which revision.
func header(s *server.Server) *pb.ResponseHeader {
	h := &pb.ResponseHeader{}
	sign(s, h)
	return h
}

// sign fills what the state has left out of a header.
func sign(s *server.Server, h *pb.ResponseHeader) {
	if h == nil {
		return
	}
	h.ClusterId, h.MemberId, h.RaftTerm = uint64(s.ClusterID()), uint64(s.MemberID()), s.Term()
	if h.Revision == 0 {
		h.Revision = s.State.KV.Rev()
	}
}

// response is what all answers have.
type response interface {
	proto.Message
	GetHeader() *pb.ResponseHeader
}

// signed returns an answer as clients get it.
func signed[R response](s *server.Server, r R, err error) (R, error) {
	if err != nil {
		var none R
		return none, told(err)
	}
	sign(s, r.GetHeader())
	return r, nil
}
