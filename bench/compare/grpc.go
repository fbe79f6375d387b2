package main

import (
	"context"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/divisi-go/divisi/bench/echo"
	"github.com/divisi-go/divisi/bench/echo/pb"
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

// stallsGRPC: with thousands of callers whose calls are not short, now and then both ends wait for the
// other one to read.
func stallsGRPC(m measurement) bool { return m.callers >= 2000 && m.payload != null }

func serveGRPC(socket string, ready func()) error {
	l, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	s := grpc.NewServer(grpc.MaxRecvMsgSize(most), grpc.MaxSendMsgSize(most))
	s.RegisterService(&echoService, nil)
	ready()
	return s.Serve(l)
}

func connectGRPC(socket string) (func() (caller, error), error) {
	conn, err := grpc.NewClient("unix://"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(most), grpc.MaxCallSendMsgSize(most)))
	if err != nil {
		return nil, err
	}
	return func() (caller, error) {
		m := echo.NewMessage().Proto()
		blobs := map[payload]*pb.Blob{large: {Data: make([]byte, large.size())}, huge: {Data: make([]byte, huge.size())}}
		return func(ctx context.Context, p payload) error {
			switch p {
			case null:
				return conn.Invoke(ctx, "/divisi.bench.Echo/Null", &pb.Empty{}, new(pb.Empty))
			case message:
				return conn.Invoke(ctx, "/divisi.bench.Echo/Message", m, new(pb.Message))
			}
			return conn.Invoke(ctx, "/divisi.bench.Echo/Bytes", blobs[p], new(pb.Blob))
		}, nil
	}, nil
}
