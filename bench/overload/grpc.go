package main

import (
	"context"
	"encoding/binary"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/divisi-go/divisi/bench/overload/work"
)

const longest = 16 << 20 // of a message

// workService is what protoc-gen-go-grpc would make of a service with one method. A task is two
// numbers, a flag, and its body.
var workService = grpc.ServiceDesc{
	ServiceName: "divisi.bench.Work",
	HandlerType: (*any)(nil),
	Methods: []grpc.MethodDesc{{MethodName: "Do", Handler: func(
		_ any, _ context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
		in := &wrapperspb.BytesValue{}
		if err := decode(in); err != nil {
			return nil, err
		}
		body := work.Do(work.Task{
			Compute: time.Duration(binary.LittleEndian.Uint64(in.Value)),
			Wait:    time.Duration(binary.LittleEndian.Uint64(in.Value[8:])),
			Usage:   in.Value[16] == 1,
			Body:    in.Value[17:],
		})
		return &wrapperspb.BytesValue{Value: body}, nil
	}}},
}

// deployGRPC starts the servers and the client.
func deployGRPC(ctx context.Context, dir string, with work.Setting) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	for i := range with.Servers {
		if err := spawn(ctx, self, with.Env("gRPC", strconv.Itoa(i), dir)); err != nil {
			return err
		}
	}
	return spawn(ctx, self, with.Env("gRPC", "client", dir))
}

// playGRPC is a server, or the client, which sends calls to the servers in turn.
func playGRPC(side string) error {
	setting, dir, _ := work.Here()
	var all []string
	for i := range setting.Servers {
		all = append(all, filepath.Join(dir, "server"+strconv.Itoa(i)))
	}
	if side != "client" {
		return serveGRPC(all, side)
	}

	r := manual.NewBuilderWithScheme("bench")
	var state resolver.State
	for _, path := range all {
		state.Addresses = append(state.Addresses, resolver.Address{Addr: path})
	}
	r.InitialState(state)
	conn, err := grpc.NewClient("bench:///work", grpc.WithResolvers(r),
		grpc.WithContextDialer(func(ctx context.Context, path string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", path)
		}),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultServiceConfig(`{"loadBalancingConfig": [{"round_robin": {}}]}`),
		grpc.WithDefaultCallOptions(grpc.WaitForReady(true),
			grpc.MaxCallRecvMsgSize(longest), grpc.MaxCallSendMsgSize(longest)))
	if err != nil {
		return err
	}
	defer conn.Close()
	return work.Obey(func(ctx context.Context, t work.Task) ([]byte, error) {
		value := make([]byte, 0, 17+len(t.Body))
		value = binary.LittleEndian.AppendUint64(value, uint64(t.Compute))
		value = binary.LittleEndian.AppendUint64(value, uint64(t.Wait))
		value = append(value, 0)
		if t.Usage {
			value[16] = 1
		}
		in, out := &wrapperspb.BytesValue{Value: append(value, t.Body...)}, &wrapperspb.BytesValue{}
		err := conn.Invoke(ctx, "/divisi.bench.Work/Do", in, out)
		return out.Value, err
	})
}

func serveGRPC(all []string, side string) error {
	i, err := strconv.Atoi(side)
	if err != nil {
		return err
	}
	l, err := net.Listen("unix", all[i])
	if err != nil {
		return err
	}
	s := grpc.NewServer(grpc.MaxRecvMsgSize(longest), grpc.MaxSendMsgSize(longest))
	s.RegisterService(&workService, nil)
	return s.Serve(l)
}
