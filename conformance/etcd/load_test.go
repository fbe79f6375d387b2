package etcd

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

var burden = flag.Int("load", 1, "how much the store has to bear: 20 is 10,000 connections and watches, and requests of 100 MB")

// anonymous returns the KB of memory of a program that no file has.
func (p *program) anonymous(t *testing.T) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(text), "RssAnon:")
	var kb int
	_, err = fmt.Sscan(after, &kb)
	if err != nil {
		t.Fatal(err)
	}
	return kb
}

// costs fails if the program has more memory than before and a bound, in KB, and says what it is.
func (p *program) costs(t *testing.T, what string, before, bound int) {
	t.Helper()
	more := p.anonymous(t) - before
	t.Logf("%s: %d KB, of %d KB", what, more, bound)
	if more > bound {
		t.Errorf("%s: %d KB, and not %d KB at most", what, more, bound)
	}
}

func (p *program) address() string { return strings.TrimPrefix(p.url, "http://") }

// TestLoad: connections, watches and slow readers cost what they should and no more, and what is too large is refused
// before it is read. Who behaves is served meanwhile.
func TestLoad(t *testing.T) {
	t.Run("connections", idleConnections)
	t.Run("requests", largeRequests)
	t.Run("watches", manyWatches)
	t.Run("readers", slowReaders)
}

// idleConnections are those of clients that have said who they are, and nothing more.
func idleConnections(t *testing.T) {
	p := serve(t, filepath.Join(t.TempDir(), "data"))
	count := 500 * *burden
	before := p.anonymous(t)
	hello := []byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00")
	for range count {
		c, err := net.Dial("tcp", p.address())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		_, err = c.Write(hello)
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.Read(make([]byte, 9)) // its settings: it serves the connection
		if err != nil {
			t.Fatal(err)
		}
	}
	p.costs(t, fmt.Sprint(count, " connections"), before, 4<<10+count*48)
	p.tool(t, "put", "k", "v")
}

// largeRequests are refused by their length.
func largeRequests(t *testing.T) {
	p := serve(t, filepath.Join(t.TempDir(), "data"))
	kv := pb.NewKVClient(dial(t, p.address()))
	before := p.anonymous(t)
	value := bytes.Repeat([]byte("x"), 5**burden<<20)
	for range 3 {
		_, err := kv.Put(t.Context(), &pb.PutRequest{Key: []byte("k"), Value: value})
		if status.Code(err) != codes.ResourceExhausted {
			t.Errorf("a value of %d bytes: %v", len(value), err)
		}
	}
	p.costs(t, fmt.Sprint("requests of ", len(value), " bytes"), before, 16<<10)
	_, err := kv.Put(t.Context(), &pb.PutRequest{Key: []byte("k"), Value: value[:1400<<10]})
	if err != nil {
		t.Errorf("a value near the limit: %v", err)
	}
}

// manyWatches are those of one client: they all see a key, end, and come again.
func manyWatches(t *testing.T) {
	p := serve(t, filepath.Join(t.TempDir(), "data"))
	conn := dial(t, p.address())
	count := 500 * *burden
	before := p.anonymous(t)
	for range 3 {
		ctx, cancel := context.WithCancel(t.Context())
		stream := watchKeys(ctx, t, conn, count)
		_, err := pb.NewKVClient(conn).Put(ctx, &pb.PutRequest{Key: []byte("k"), Value: []byte("v")})
		if err != nil {
			t.Fatal(err)
		}
		receive(t, stream, count, func(r *pb.WatchResponse) int { return len(r.Events) })
		cancel()
	}
	p.costs(t, fmt.Sprint(count, " watches, three times"), before, 16<<10+count*8)
}

func watchKeys(ctx context.Context, t *testing.T, conn *grpc.ClientConn, count int) pb.Watch_WatchClient {
	t.Helper()
	stream, err := pb.NewWatchClient(conn).Watch(ctx)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for range count {
			_ = stream.Send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: &pb.WatchCreateRequest{Key: []byte("k")}}})
		}
	}()
	receive(t, stream, count, func(*pb.WatchResponse) int { return 1 })
	return stream
}

// receive receives until there was enough of what is counted.
func receive(t *testing.T, stream pb.Watch_WatchClient, enough int, counted func(*pb.WatchResponse) int) {
	t.Helper()
	for seen := 0; seen < enough; {
		r, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		seen += counted(r)
	}
}

// slowReaders watch a key, and read nothing while much is written. Then they see all of it, in order.
func slowReaders(t *testing.T) {
	p := serve(t, filepath.Join(t.TempDir(), "data"))
	var streams []pb.Watch_WatchClient
	for range 10 {
		streams = append(streams, watchKeys(t.Context(), t, dial(t, p.address()), 1))
	}
	kv := pb.NewKVClient(dial(t, p.address()))
	before := p.anonymous(t)
	value, writes := bytes.Repeat([]byte("x"), 32<<10), 150**burden
	for range writes {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		_, err := kv.Put(ctx, &pb.PutRequest{Key: []byte("k"), Value: value})
		cancel()
		if err != nil {
			t.Fatal(err)
		}
	}
	p.costs(t, fmt.Sprint("readers that are ", writes, " events of 32 KB behind"), before, 96<<10)

	for _, stream := range streams {
		last := int64(1)
		receive(t, stream, writes, func(r *pb.WatchResponse) int {
			for _, e := range r.Events {
				if e.Kv.ModRevision != last+1 {
					t.Errorf("a slow reader sees revision %d after %d", e.Kv.ModRevision, last)
				}
				last = e.Kv.ModRevision
			}
			return len(r.Events)
		})
	}
}
