package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/divisi-go/divisi/bench/load"
	"github.com/divisi-go/divisi/bench/report"
)

const (
	storeConns   = 10     // of all clients of a store together
	storeClients = 300    // of most jobs
	storeKeys    = 10_000 // that jobs write and read
	storeWatches = 1000   // of one key
)

// store compares the store with etcd, each with one member and a folder on the same disk.
func (b *bench) store(ctx context.Context) error {
	took, rounds, large := 400*time.Millisecond, 15, 64<<20
	if b.short {
		took, rounds, large = 100*time.Millisecond, 1, 8<<20
	}
	err := b.compile(ctx, "../store/cmd/divisi-store")
	if err != nil {
		return err
	}
	build := exec.CommandContext(ctx, "go", "build", "-o", b.program("etcd"), "go.etcd.io/etcd/server/v3")
	build.Stderr, build.Env = os.Stderr, append(os.Environ(), "CGO_ENABLED=0")
	err = build.Run()
	if err != nil {
		return fmt.Errorf("cannot build etcd: %w", err)
	}

	folder, err := os.MkdirTemp(b.dir, "store")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	stores := []*storeServer{{name: "Divisi", program: "divisi-store"}, {name: "etcd", program: "etcd"}}
	for _, s := range stores {
		defer s.end()
		err := s.start(ctx, b, filepath.Join(folder, s.name))
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return b.compareStores(ctx, stores, took, rounds, large)
}

// compareStores has the stores take turns, job by job and round by round.
func (b *bench) compareStores(ctx context.Context, stores []*storeServer, took time.Duration, rounds, large int) error {
	figures := report.Figures{}
	weights := report.NewTable("", "MB resident, idle", "MB resident, after all jobs", "MB of the program")
	err := pause(ctx, 2*time.Second)
	if err != nil {
		return err
	}
	for _, s := range stores {
		err := s.weigh(b, &s.idle)
		if err != nil {
			return err
		}
	}

	t := report.NewTable("", "", "p50 µs", "p99 µs", "a second", "of etcd's", "a CPU-second", "of etcd's")
	for _, j := range jobs(large) {
		seen := map[string][4][]float64{} // p50, p99, rate, per CPU-second
		for round := range rounds {
			for i := range stores {
				s := stores[(round+i)%len(stores)]
				one, err := s.measure(ctx, j, took)
				if err != nil {
					return fmt.Errorf("%s, %s: %w", j.text, s.name, err)
				}
				all := seen[s.name]
				for i := range one {
					all[i] = append(all[i], one[i])
				}
				seen[s.name] = all
			}
		}
		rates, costs := ratios(seen["Divisi"][2], seen["etcd"][2]), ratios(seen["Divisi"][3], seen["etcd"][3])
		for _, s := range stores {
			all, rate, cost := seen[s.name], report.Spread(rates), report.Spread(costs)
			if s.name == "etcd" {
				rate, cost = "1", "1"
			}
			t.Add(j.text, s.name, report.Spread(all[0]), report.Spread(all[1]), report.Spread(all[2]), rate, report.Spread(all[3]), cost)
		}
		figures.Set(report.Median(rates), "store", j.text, "of etcd")
	}

	for _, s := range stores {
		err := s.weigh(b, &s.used)
		if err != nil {
			return err
		}
		weights.Add(s.name, report.Short(s.idle.resident), report.Short(s.used.resident), report.Short(s.idle.program))
	}
	figures.Set(stores[0].idle.resident/stores[1].idle.resident, "store", "idle", "of etcd")
	figures.Set(stores[0].idle.program/stores[1].idle.program, "store", "program", "of etcd")
	text := report.Machine() + ".\n\n" + t.String() + "\n" + weights.String()
	return errors.Join(figures.Save(b.dir, "store"), report.Put(b.file, "store", text))
}

// ratios are those of measurements that were made one after the other.
func ratios(ours, theirs []float64) (list []float64) {
	for i := range ours {
		list = append(list, ours[i]/theirs[i])
	}
	return list
}

// storeServer is a store, and connections to it.
type storeServer struct {
	name, program string
	address       string
	conns         []*grpc.ClientConn
	cmd           *exec.Cmd
	exited        chan struct{}
	idle, used    weight
}

// weight is MB.
type weight struct{ resident, program float64 }

// start starts the store in a folder, and waits until it answers.
func (s *storeServer) start(ctx context.Context, b *bench, folder string) error {
	var err error
	s.address, err = freeAddress()
	if err != nil {
		return err
	}
	arguments := []string{"serve", "--data", folder, "--listen", s.address}
	if s.name == "etcd" {
		peers, err := freeAddress()
		if err != nil {
			return err
		}
		arguments = []string{
			"--data-dir", folder, "--log-level", "warn", "--listen-client-urls", "http://" + s.address, "--advertise-client-urls", "http://" + s.address,
			"--listen-peer-urls", "http://" + peers, "--initial-advertise-peer-urls", "http://" + peers, "--initial-cluster", "default=http://" + peers,
		}
	}
	s.cmd = exec.Command(b.program(s.program), arguments...)
	var said bytes.Buffer
	s.cmd.Stderr = &said
	err = s.cmd.Start()
	if err != nil {
		return err
	}
	s.exited = make(chan struct{})
	go func() {
		defer close(s.exited)
		_ = s.cmd.Wait() // it ends when it is asked to
	}()

	for range storeConns {
		c, err := grpc.NewClient("passthrough:///"+s.address, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			return err
		}
		s.conns = append(s.conns, c)
	}
	ctx, cancel := context.WithTimeout(ctx, load.Patience)
	defer cancel()
	for _, c := range s.conns {
		_, err = pb.NewKVClient(c).Range(ctx, &pb.RangeRequest{Key: []byte("k")}, grpc.WaitForReady(true))
		if err != nil {
			return fmt.Errorf("it does not answer: %w: %s", err, said.String())
		}
	}
	return nil
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

func (s *storeServer) end() {
	for _, c := range s.conns {
		_ = c.Close()
	}
	if s.exited == nil {
		return
	}
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-s.exited:
	case <-time.After(load.Patience):
		_ = s.cmd.Process.Kill()
		<-s.exited
	}
}

func (s *storeServer) look() (idler, error) {
	var one idler
	err := one.look(filepath.Join("/proc", fmt.Sprint(s.cmd.Process.Pid)))
	return one, err
}

func (s *storeServer) weigh(b *bench, w *weight) error {
	one, err := s.look()
	if err != nil {
		return err
	}
	info, err := os.Stat(b.program(s.program))
	if err != nil {
		return err
	}
	*w = weight{resident: one.resident / 1024, program: float64(info.Size()) / 1e6}
	return nil
}

// doing does a job once, and returns for how often that counts.
type doing func(context.Context) (int, error)

// job is what clients of a store do again and again. One client does it on the first of some connections, after begin has
// done what comes before.
type job struct {
	text    string
	clients int
	begin   func(context.Context, []*grpc.ClientConn) (doing, error)
}

func jobs(large int) []job {
	return []job{
		{"put, one client", 1, put},
		{"put, 300 clients", storeClients, put},
		{"range, one client", 1, span(false)},
		{"range, 300 clients", storeClients, span(false)},
		{"serializable range, one client", 1, span(true)},
		{"serializable range, 300 clients", storeClients, span(true)},
		{"transaction, 300 clients", storeClients, transaction},
		{"events of 1,000 watches of one key", 1, watched},
		{"keepalive of a lease, 300 clients", storeClients, keepalive},
		{"KB of a snapshot", 1, snapshot(large)},
	}
}

// measure has the clients of a job do it for a time, and returns p50, p99, how often it was done a second, and a
// CPU-second of the store.
func (s *storeServer) measure(ctx context.Context, j job, took time.Duration) (seen [4]float64, err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	does := make([]doing, j.clients)
	for i := range does {
		does[i], err = j.begin(ctx, s.conns[i%len(s.conns):])
		if err != nil {
			return seen, err
		}
	}

	before, err := s.look()
	if err != nil {
		return seen, err
	}
	times, counts, errs := make([][]time.Duration, j.clients), make([]int, j.clients), make([]error, j.clients)
	var clients sync.WaitGroup
	begin := time.Now()
	for i, do := range does {
		clients.Go(func() {
			for last := time.Now(); last.Sub(begin) < took && errs[i] == nil; {
				n, err := do(ctx)
				now := time.Now()
				times[i] = append(times[i], now.Sub(last))
				counts[i], errs[i], last = counts[i]+n, err, now
			}
		})
	}
	clients.Wait()
	passed := time.Since(begin)
	after, err := s.look()
	if err := errors.Join(append(errs, err)...); err != nil {
		return seen, err
	}
	all, n := slices.Concat(times...), 0
	slices.Sort(all)
	for _, count := range counts {
		n += count
	}
	µs := func(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e3 }
	return [4]float64{
		µs(all[len(all)/2]), µs(all[len(all)*99/100]), float64(n) / passed.Seconds(), float64(n) / (after.cpu - before.cpu).Seconds(),
	}, nil
}

func anyKey() []byte { return fmt.Appendf(nil, "k%07d", rand.IntN(storeKeys)) }

func put(_ context.Context, conns []*grpc.ClientConn) (doing, error) {
	kv, value := pb.NewKVClient(conns[0]), make([]byte, 256)
	return func(ctx context.Context) (int, error) {
		_, err := kv.Put(ctx, &pb.PutRequest{Key: anyKey(), Value: value})
		return 1, err
	}, nil
}

// span reads one key.
func span(serializable bool) func(context.Context, []*grpc.ClientConn) (doing, error) {
	return func(_ context.Context, conns []*grpc.ClientConn) (doing, error) {
		kv := pb.NewKVClient(conns[0])
		return func(ctx context.Context) (int, error) {
			_, err := kv.Range(ctx, &pb.RangeRequest{Key: anyKey(), Serializable: serializable})
			return 1, err
		}, nil
	}
}

// transaction writes a key if it is there, and reads it.
func transaction(_ context.Context, conns []*grpc.ClientConn) (doing, error) {
	kv, value := pb.NewKVClient(conns[0]), make([]byte, 256)
	return func(ctx context.Context) (int, error) {
		key := anyKey()
		get := &pb.RequestOp{Request: &pb.RequestOp_RequestRange{RequestRange: &pb.RangeRequest{Key: key}}}
		set := &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: key, Value: value}}}
		_, err := kv.Txn(ctx, &pb.TxnRequest{
			Compare: []*pb.Compare{{Key: key, Result: pb.Compare_GREATER, Target: pb.Compare_VERSION, TargetUnion: &pb.Compare_Version{}}},
			Success: []*pb.RequestOp{set, get}, Failure: []*pb.RequestOp{get},
		})
		return 1, err
	}, nil
}

// watched puts a key, and waits until all watches of it have seen that. Each connection has as many of them.
func watched(ctx context.Context, conns []*grpc.ClientConn) (doing, error) {
	key := []byte("watched")
	var views []*view
	for _, c := range conns {
		stream, err := pb.NewWatchClient(c).Watch(ctx)
		if err != nil {
			return nil, err
		}
		v := &view{stream, storeWatches / len(conns)}
		views = append(views, v)
		for range v.watches {
			err := stream.Send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: &pb.WatchCreateRequest{Key: key}}})
			if err != nil {
				return nil, err
			}
		}
		err = v.each(func(*pb.WatchResponse) int { return 1 }) // they are there
		if err != nil {
			return nil, err
		}
	}
	kv := pb.NewKVClient(conns[0])
	return func(ctx context.Context) (int, error) {
		_, err := kv.Put(ctx, &pb.PutRequest{Key: key})
		for _, v := range views {
			if err == nil {
				err = v.each(func(r *pb.WatchResponse) int { return len(r.Events) })
			}
		}
		return storeWatches, err
	}, nil
}

// view is watches that share a stream.
type view struct {
	stream  pb.Watch_WatchClient
	watches int
}

// each receives until all watches have what is wanted.
func (v *view) each(wanted func(*pb.WatchResponse) int) error {
	for seen := 0; seen < v.watches; {
		r, err := v.stream.Recv()
		if err != nil {
			return err
		}
		if r.Canceled {
			return fmt.Errorf("a watch was canceled: %s", r.CancelReason)
		}
		seen += wanted(r)
	}
	return nil
}

func keepalive(ctx context.Context, conns []*grpc.ClientConn) (doing, error) {
	leases := pb.NewLeaseClient(conns[0])
	lease, err := leases.LeaseGrant(ctx, &pb.LeaseGrantRequest{TTL: 600})
	if err != nil {
		return nil, err
	}
	stream, err := leases.LeaseKeepAlive(ctx)
	if err != nil {
		return nil, err
	}
	return func(context.Context) (int, error) {
		err := stream.Send(&pb.LeaseKeepAliveRequest{ID: lease.ID})
		if err != nil {
			return 0, err
		}
		_, err = stream.Recv()
		return 1, err
	}, nil
}

// snapshot reads the whole state, which gets so many bytes if it has less.
func snapshot(size int) func(context.Context, []*grpc.ClientConn) (doing, error) {
	return func(ctx context.Context, conns []*grpc.ClientConn) (doing, error) {
		kv, value := pb.NewKVClient(conns[0]), load.Huge.Bytes()
		for i := range size / len(value) {
			key := fmt.Appendf(nil, "large %d", i)
			there, err := kv.Range(ctx, &pb.RangeRequest{Key: key, CountOnly: true})
			if err == nil && there.Count == 0 {
				_, err = kv.Put(ctx, &pb.PutRequest{Key: key, Value: value})
			}
			if err != nil {
				return nil, err
			}
		}
		maintenance := pb.NewMaintenanceClient(conns[0])
		return func(ctx context.Context) (int, error) {
			stream, err := maintenance.Snapshot(ctx, &pb.SnapshotRequest{})
			if err != nil {
				return 0, err
			}
			read := 0
			for {
				part, err := stream.Recv()
				if err == io.EOF {
					return read >> 10, nil
				}
				if err != nil {
					return 0, err
				}
				read += len(part.Blob)
			}
		}, nil
	}
}
