package etcd

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/server/v3/embed"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"

	"github.com/divisi-go/divisi/store"
)

// TestOracle: the store and etcd's server answer the same requests alike, the wrong ones too, and have the same keys in
// the end.
func TestOracle(t *testing.T) {
	pair := []*grpc.ClientConn{dialStore(t), dialEtcd(t)}
	seed := rand.Uint64()
	g := &generator{Rand: rand.New(rand.NewPCG(seed, 0))}
	answers := 0
	for i := range 600 {
		call := g.next()
		var said [2]string
		for j, conn := range pair {
			said[j] = call.on(t.Context(), conn)
		}
		if said[0] != said[1] {
			t.Fatalf("seed %d, request %d: %s: %s\nthe store says %s\netcd says      %s", seed, i, call.method, prototext.Format(call.request), said[0], said[1])
		}
		if !strings.HasPrefix(said[0], "rpc error") {
			answers++
		}
	}
	t.Logf("%d of 600 requests were in order", answers)
	for _, conn := range pair { // a compaction goes on after its answer
		_ = call{pb.KV_Compact_FullMethodName, &pb.CompactionRequest{Revision: 1, Physical: true}, new(pb.CompactionResponse)}.on(t.Context(), conn)
	}
	hash := call{pb.Maintenance_HashKV_FullMethodName, &pb.HashKVRequest{}, new(pb.HashKVResponse)}
	if ours, theirs := hash.on(t.Context(), pair[0]), hash.on(t.Context(), pair[1]); ours != theirs {
		t.Errorf("the store has the keys %s, and etcd %s", ours, theirs)
	}
}

func dialStore(t *testing.T) *grpc.ClientConn {
	t.Helper()
	s, err := store.Open(t.Context(), store.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = s.Serve(t.Context(), l, nil) }()
	return dial(t, l.Addr().String())
}

func dialEtcd(t *testing.T) *grpc.ClientConn {
	t.Helper()
	config := embed.NewConfig()
	config.Dir, config.LogLevel = t.TempDir(), "error"
	clients, peers := freeAddress(t), freeAddress(t)
	config.ListenClientUrls = []url.URL{{Scheme: "http", Host: clients}}
	config.AdvertiseClientUrls = config.ListenClientUrls
	config.ListenPeerUrls = []url.URL{{Scheme: "http", Host: peers}}
	config.AdvertisePeerUrls = config.ListenPeerUrls
	config.InitialCluster = config.InitialClusterFromName("default")
	e, err := embed.StartEtcd(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	<-e.Server.ReadyNotify()
	return dial(t, clients)
}

func dial(t *testing.T, address string) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// call is a request, and where its answer goes.
type call struct {
	method   string
	request  proto.Message
	response interface {
		proto.Message
		GetHeader() *pb.ResponseHeader
	}
}

// on returns what a server answers, but for who it is.
func (c call) on(ctx context.Context, conn *grpc.ClientConn) string {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	proto.Reset(c.response)
	err := conn.Invoke(ctx, c.method, proto.Clone(c.request), c.response, grpc.WaitForReady(true))
	if err != nil {
		return err.Error()
	}
	h := c.response.GetHeader()
	if h != nil {
		h.ClusterId, h.MemberId, h.RaftTerm = 0, 0, 0
	}
	text, err := proto.MarshalOptions{Deterministic: true}.Marshal(c.response)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%x", text)
}

// generator makes requests, of which some are wrong.
type generator struct {
	*rand.Rand
	inherits bool // puts may keep what a key had, and no deletion is without end, for etcd ends by both at once
}

func (g *generator) next() call {
	g.inherits = g.IntN(2) == 0
	switch g.IntN(12) {
	case 0, 1, 2:
		return call{pb.KV_Put_FullMethodName, g.put(), new(pb.PutResponse)}
	case 3, 4, 5:
		return call{pb.KV_Range_FullMethodName, g.span(), new(pb.RangeResponse)}
	case 6:
		return call{pb.KV_DeleteRange_FullMethodName, g.deletion(), new(pb.DeleteRangeResponse)}
	case 7, 8, 9:
		return call{pb.KV_Txn_FullMethodName, g.txn(3), new(pb.TxnResponse)}
	case 10:
		if g.IntN(2) == 0 {
			return call{pb.Lease_LeaseRevoke_FullMethodName, &pb.LeaseRevokeRequest{ID: g.lease()}, new(pb.LeaseRevokeResponse)}
		}
		return call{pb.Lease_LeaseGrant_FullMethodName, &pb.LeaseGrantRequest{ID: 1 + g.lease(), TTL: 10_000}, new(pb.LeaseGrantResponse)}
	default:
		if g.IntN(5) > 0 {
			return call{pb.Lease_LeaseLeases_FullMethodName, &pb.LeaseLeasesRequest{}, new(pb.LeaseLeasesResponse)}
		}
		return call{pb.KV_Compact_FullMethodName, &pb.CompactionRequest{Revision: int64(g.IntN(100)), Physical: true}, new(pb.CompactionResponse)}
	}
}

// key returns one of few, and now and then none.
func (g *generator) key() []byte {
	return []byte([]string{"a", "b", "c", "d", "e", "f", ""}[g.IntN(64)%7])
}

func (g *generator) end() []byte { return []byte([]string{"", "", "c", "f", "\x00", "a"}[g.IntN(6)]) }

func (g *generator) lease() int64 { return int64(g.IntN(4)) }

func (g *generator) sometimes() bool { return g.IntN(6) == 0 }

func (g *generator) put() *pb.PutRequest {
	return &pb.PutRequest{
		Key: g.key(), Value: fmt.Append(nil, g.IntN(100)), PrevKv: g.sometimes(),
		IgnoreValue: g.IntN(10) == 0 && g.inherits, IgnoreLease: g.sometimes() && g.inherits, Lease: g.lease() * int64(g.IntN(2)),
	}
}

func (g *generator) span() *pb.RangeRequest {
	return &pb.RangeRequest{
		Key: g.key(), RangeEnd: g.end(), Limit: int64(g.IntN(4)), Revision: int64(g.IntN(200) * g.IntN(2)),
		SortOrder: pb.RangeRequest_SortOrder(g.IntN(4)), SortTarget: pb.RangeRequest_SortTarget(g.IntN(6)),
		Serializable: g.sometimes(), KeysOnly: g.sometimes(), CountOnly: g.sometimes(), MinModRevision: int64(g.IntN(100) * g.IntN(2)),
	}
}

func (g *generator) deletion() *pb.DeleteRangeRequest {
	r := &pb.DeleteRangeRequest{Key: g.key(), RangeEnd: g.end(), PrevKv: g.sometimes()}
	if g.inherits && string(r.RangeEnd) == "\x00" {
		r.RangeEnd = nil
	}
	return r
}

func (g *generator) txn(depth int) *pb.TxnRequest {
	r := &pb.TxnRequest{}
	for range g.IntN(3) {
		r.Compare = append(r.Compare, &pb.Compare{
			Result: pb.Compare_CompareResult(g.IntN(4)), Target: pb.Compare_VERSION, Key: g.key(), RangeEnd: g.end(),
			TargetUnion: &pb.Compare_Version{Version: int64(g.IntN(4))},
		})
	}
	for range g.IntN(4) {
		r.Success = append(r.Success, g.operation(depth))
	}
	for range g.IntN(4) {
		r.Failure = append(r.Failure, g.operation(depth))
	}
	return r
}

func (g *generator) operation(depth int) *pb.RequestOp {
	switch {
	case g.IntN(40) == 0:
		return &pb.RequestOp{}
	case depth > 0 && g.IntN(4) == 0:
		return &pb.RequestOp{Request: &pb.RequestOp_RequestTxn{RequestTxn: g.txn(depth - 1)}}
	case g.IntN(3) == 0:
		return &pb.RequestOp{Request: &pb.RequestOp_RequestDeleteRange{RequestDeleteRange: g.deletion()}}
	case g.IntN(2) == 0:
		return &pb.RequestOp{Request: &pb.RequestOp_RequestRange{RequestRange: g.span()}}
	}
	return &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: g.put()}}
}
