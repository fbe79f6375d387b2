package api

import (
	"context"
	"math"
	"net"
	"net/http"

	gateway "github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	services "go.etcd.io/etcd/api/v3/etcdserverpb/gw"
	election "go.etcd.io/etcd/server/v3/etcdserver/api/v3election/v3electionpb/gw"
	lock "go.etcd.io/etcd/server/v3/etcdserver/api/v3lock/v3lockpb/gw"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/encoding/protojson"
)

// inside is how much of a call waits on its way from the gateway to the services.
const inside = 64 << 10

// newGateway returns the services as JSON by HTTP, by the paths that etcd has for them. Each request is a call of gRPC
// within this process, so it is checked, limited and permitted like any other; who asks is known by a token only.
func newGateway(ctx context.Context, a *API) (http.Handler, error) {
	calls := bufconn.Listen(inside)
	g := a.Server(ctx, grpc.MaxConcurrentStreams(math.MaxUint32)) // all requests share one connection
	go func() { _ = g.Serve(calls) }()
	context.AfterFunc(ctx, g.Stop)
	conn, err := grpc.NewClient("passthrough:///gateway",
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return calls.DialContext(ctx) }),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(math.MaxInt32)))
	if err != nil {
		return nil, err
	}
	context.AfterFunc(ctx, func() { _ = conn.Close() })

	// What is said and understood is what etcd's gateway says and understands.
	mux := gateway.NewServeMux(gateway.WithMarshalerOption(gateway.MIMEWildcard, &gateway.HTTPBodyMarshaler{
		Marshaler: &gateway.JSONPb{
			MarshalOptions:   protojson.MarshalOptions{UseProtoNames: true},
			UnmarshalOptions: protojson.UnmarshalOptions{DiscardUnknown: true},
		},
	}))
	for _, register := range []func(context.Context, *gateway.ServeMux, *grpc.ClientConn) error{
		services.RegisterKVHandler, services.RegisterWatchHandler, services.RegisterLeaseHandler,
		services.RegisterClusterHandler, services.RegisterMaintenanceHandler, services.RegisterAuthHandler,
		lock.RegisterLockHandler, election.RegisterElectionHandler,
	} {
		err = register(ctx, mux, conn)
		if err != nil {
			return nil, err
		}
	}
	return guarded(mux, 2*int64(a.keys.s.Options().MaxRequestBytes)+overhead), nil // bytes are a third longer in JSON
}

// guarded bounds the bodies of requests, and refuses those of browsers: a page of any site may have one send them here,
// and by a name of its own for this address even read the answers.
func guarded(next http.Handler, limit int64) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Origin") != "" {
			http.Error(w, "cannot answer a browser: a request with an Origin may be that of a page of somebody else", http.StatusForbidden)
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, limit)
		next.ServeHTTP(w, r)
	})
}
