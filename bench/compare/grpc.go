package main

import (
	"context"
	"net"
	"sync/atomic"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/divisi-go/divisi/bench/echo/pb"
	"github.com/divisi-go/divisi/bench/load"
)

// echoService is what protoc-gen-go-grpc would make of a service with three methods.
var echoService = grpc.ServiceDesc{
	ServiceName: "divisi.bench.Echo",
	HandlerType: (*any)(nil),
	Methods: []grpc.MethodDesc{
		{MethodName: "Null", Handler: giveBack[pb.Empty]},
		{MethodName: "Message", Handler: giveBack[pb.Message]},
		{MethodName: "Bytes", Handler: giveBack[pb.Blob]},
	},
}

// giveBack returns what it is given.
func giveBack[T any](_ any, _ context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
	in := new(T)
	err := decode(in)
	return in, err
}

const most = 8 << 20 // of a message

// lackOfGRPC: with thousands of callers whose calls are not short, now and then both ends wait for the
// other one to read.
func lackOfGRPC(m measurement) string {
	if m.callers >= 2000 && m.payload != load.Nothing {
		return "now and then both of its ends wait there for the other one to read, for good"
	}
	return ""
}

func serveGRPC(l net.Listener) error {
	s := grpc.NewServer(grpc.MaxRecvMsgSize(most), grpc.MaxSendMsgSize(most))
	s.RegisterService(&echoService, nil)
	return s.Serve(l)
}

// connectGRPC returns callers that take turns with the connections, of which there is one, if nobody says
// another number.
func connectGRPC(e endpoint) (func() (load.Caller, error), error) {
	var conns []*grpc.ClientConn
	for range load.Connections() {
		conn, err := dialGRPC(e)
		if err != nil {
			return nil, err
		}
		conns = append(conns, conn)
	}
	var turn atomic.Uint64
	return func() (load.Caller, error) {
		m := pb.Of(load.NewMessage())
		return func(ctx context.Context, p load.Payload) error {
			conn := conns[0]
			if len(conns) > 1 {
				conn = conns[turn.Add(1)%uint64(len(conns))]
			}
			switch p {
			case load.Nothing:
				return conn.Invoke(ctx, "/divisi.bench.Echo/Null", &pb.Empty{}, new(pb.Empty))
			case load.Struct:
				return conn.Invoke(ctx, "/divisi.bench.Echo/Message", m, new(pb.Message))
			}
			return conn.Invoke(ctx, "/divisi.bench.Echo/Bytes", &pb.Blob{Data: p.Bytes()}, new(pb.Blob))
		}, nil
	}, nil
}

func dialGRPC(e endpoint) (*grpc.ClientConn, error) {
	return grpc.NewClient("passthrough:///bench", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return e.dial(ctx) }),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(most), grpc.MaxCallSendMsgSize(most)))
}
