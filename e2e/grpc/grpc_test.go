//go:build unix

// Package grpc_test shows that package serve ends servers of gRPC without losing a call.
package grpc_test

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"

	"github.com/divisi-go/divisi/serve"
)

// health answers after a while, and counts.
type health struct {
	grpc_health_v1.UnimplementedHealthServer
	takes  time.Duration
	served atomic.Int64
}

func (h *health) Check(ctx context.Context, _ *grpc_health_v1.HealthCheckRequest) (
	*grpc_health_v1.HealthCheckResponse, error) {
	select {
	case <-time.After(h.takes):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	h.served.Add(1)
	return &grpc_health_v1.HealthCheckResponse{Status: grpc_health_v1.HealthCheckResponse_SERVING}, nil
}

// run runs a server on a socket that others have as well.
func run(t *testing.T, socket net.Listener, takes time.Duration) (h *health, end func()) {
	t.Helper()
	file, err := socket.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	l, err := net.FileListener(file)
	if err != nil {
		t.Fatal(err)
	}
	h = &health{takes: takes}
	s := grpc.NewServer()
	grpc_health_v1.RegisterHealthServer(s, h)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- serve.Run(ctx, serve.Server(l, s)) }()
	return h, func() {
		t.Helper()
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

// TestHandover: a server of gRPC follows another one on the same socket, some times, while clients make
// calls, also such that are under way when the end begins; none is lost.
func TestHandover(t *testing.T) {
	socket, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	const takes = 5 * time.Millisecond
	current, end := run(t, socket, takes)
	stop := make(chan struct{})
	var clients sync.WaitGroup
	for i := range 8 {
		clients.Go(func() { call(t, socket.Addr().String(), i%2 == 0, stop) })
	}

	for range 5 {
		until(t, &current.served, 100)
		next, endNext := run(t, socket, takes)
		end()
		current, end = next, endNext
	}
	until(t, &current.served, 100)
	close(stop)
	clients.Wait()
	end()
}

// call makes calls until it is to stop, on one connection or on one for each, and fails the test for each
// that fails.
func call(t *testing.T, address string, keeps bool, stop <-chan struct{}) {
	var conn *grpc.ClientConn
	defer func() {
		if conn != nil {
			conn.Close()
		}
	}()
	for {
		select {
		case <-stop:
			return
		default:
		}
		if conn == nil {
			var err error
			if conn, err = grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials())); err != nil {
				t.Error(err)
				return
			}
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		_, err := grpc_health_v1.NewHealthClient(conn).Check(ctx, &grpc_health_v1.HealthCheckRequest{})
		cancel()
		if err != nil {
			t.Errorf("a call is lost: %v", err)
			return
		}
		if !keeps {
			conn.Close()
			conn = nil
		}
	}
}

// until waits until a server has served some calls.
func until(t *testing.T, served *atomic.Int64, count int64) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for range 60_000 {
		if served.Load() >= count {
			return
		}
		<-tick.C
	}
	t.Fatalf("only %d calls are served", served.Load())
}
