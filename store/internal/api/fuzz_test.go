package api

import (
	"context"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/proto"

	"github.com/divisi-go/divisi/store/internal/server"
)

// FuzzTxn: whatever a transaction is, it is refused or taken.
func FuzzTxn(f *testing.F) {
	put := &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: []byte("k"), IgnoreValue: true}}}
	remove := &pb.RequestOp{Request: &pb.RequestOp_RequestDeleteRange{RequestDeleteRange: &pb.DeleteRangeRequest{Key: []byte("k"), RangeEnd: []byte{0}}}}
	inner := &pb.RequestOp{Request: &pb.RequestOp_RequestTxn{RequestTxn: &pb.TxnRequest{Success: []*pb.RequestOp{put}}}}
	for _, r := range []*pb.TxnRequest{
		{Success: []*pb.RequestOp{put, remove}},
		{Success: []*pb.RequestOp{inner, remove}, Failure: []*pb.RequestOp{put}},
		{Compare: []*pb.Compare{{Key: []byte("k")}}, Failure: []*pb.RequestOp{{}}},
	} {
		text, err := proto.Marshal(r)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var r pb.TxnRequest
		if proto.Unmarshal(text, &r) != nil {
			return
		}
		if err := checkTxn(&r, 128); err == nil && len(r.Success)+len(r.Failure) > 256 {
			t.Error("there are too many operations")
		}
	})
}

// raw is the codec of messages that are bytes.
type raw struct{}

func (raw) Name() string { return "proto" }

func (raw) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(*v.(*[]byte))}, nil
}

func (raw) Unmarshal(data mem.BufferSlice, v any) error {
	*v.(*[]byte) = data.Materialize()
	return nil
}

var _ encoding.CodecV2 = raw{}

// apart are methods that would keep the store from answering the next request: by a member that is not there, by an
// alarm, or by asking who everybody is.
var apart = []string{"/MemberAdd", "/MemberUpdate", "/Alarm", "/AuthEnable"}

// FuzzRequest: whatever a client sends to a method, the store answers, and goes on.
func FuzzRequest(f *testing.F) {
	member, err := server.New(server.Options{
		Dir: f.TempDir(), Name: "default", PeerURL: "http://localhost:2380", Quota: 1 << 30, MaxRequestBytes: 1 << 20, MaxTxnOps: 128,
		CompactionMode: "periodic", Tokens: "simple", BcryptCost: 4, CheckInterval: time.Hour, Logger: zap.NewNop(),
	})
	if err != nil {
		f.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- member.Serve(ctx) }()
	<-member.Ready()
	a, err := New(ctx, member)
	if err != nil {
		f.Fatal(err)
	}
	g := a.Server(ctx)
	l := bufconn.Listen(1 << 20)
	go func() { _ = g.Serve(l) }()
	conn, err := grpc.NewClient("passthrough:///store", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return l.DialContext(ctx) }))
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() {
		_ = conn.Close()
		g.Stop()
		cancel()
		if err := <-served; err != nil {
			f.Error(err)
		}
	})

	var methods []string
	for service, info := range g.GetServiceInfo() {
		for _, m := range info.Methods {
			name := "/" + service + "/" + m.Name
			if !slices.ContainsFunc(apart, func(end string) bool { return strings.HasSuffix(name, end) }) {
				methods = append(methods, name)
			}
		}
	}
	slices.Sort(methods)
	for i := range methods {
		f.Add(byte(i), []byte("\x0a\x01k"))         // the first field is the key k
		f.Add(byte(i), []byte("\x0a\x03\x0a\x01k")) // or a message with it
	}
	f.Fuzz(func(t *testing.T, method byte, request []byte) {
		ask(t, conn, methods[int(method)%len(methods)], request)
		if _, err := pb.NewKVClient(conn).Put(t.Context(), &pb.PutRequest{Key: []byte("k")}); err != nil {
			t.Fatalf("the store does not go on: %v", err)
		}
	})
}

// ask sends one request, and takes one answer, if there is one soon: some wait for what will not be.
func ask(t *testing.T, conn *grpc.ClientConn, method string, request []byte) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, method, grpc.ForceCodecV2(raw{}))
	if err != nil {
		return
	}
	_ = stream.SendMsg(&request)
	_ = stream.CloseSend()
	var answer []byte
	_ = stream.RecvMsg(&answer)
}
