package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/divisi-go/divisi/bench/echo/pb"
	"github.com/divisi-go/divisi/bench/load"
)

// playGRPC is one of eleven processes: the one that calls, which is number 0, or a server.
func playGRPC(role, side string) error {
	number, err := strconv.Atoi(side)
	if err != nil {
		return err
	}
	next := link(plain{})
	if number < load.ChainLength {
		if next, err = connect(number + 1); err != nil {
			return err
		}
	}
	if number == 0 {
		return load.Obey(role, func() (load.Caller, error) { return often(next), nil })
	}

	l, err := net.Listen("unix", socketOf(number))
	if err != nil {
		return err
	}
	s := grpc.NewServer()
	s.RegisterService(&grpc.ServiceDesc{
		ServiceName: "divisi.bench.Chain",
		HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{{MethodName: "Pass", Handler: func(
			_ any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
			if err := decode(new(pb.Empty)); err != nil {
				return nil, err
			}
			return new(pb.Empty), next.Pass(ctx)
		}}},
	}, nil)
	go func() { load.Exit(load.Obey(role, nil)) }()
	return s.Serve(l)
}

// socketOf returns the path of a server's socket.
func socketOf(number int) string {
	return filepath.Join(filepath.Dir(os.Getenv(load.ControlVariable)), fmt.Sprint("server", number))
}

// remote is a link in another process.
type remote struct{ conn *grpc.ClientConn }

var _ link = remote{}

func connect(number int) (link, error) {
	conn, err := grpc.NewClient("unix://"+socketOf(number), grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.WaitForReady(true)))
	return remote{conn}, err
}

// Pass calls the other process.
func (r remote) Pass(ctx context.Context) error {
	return r.conn.Invoke(ctx, "/divisi.bench.Chain/Pass", new(pb.Empty), new(pb.Empty))
}
