package resolver_test

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/divisi-go/divisi/internal/keeper/lookup"
	"github.com/divisi-go/divisi/resolver"
)

// keeper answers as the door of one does; the end-to-end tests have a real one.
type keeper struct {
	mu      sync.Mutex
	version string
	list    []lookup.Found
	changed chan struct{}
}

func (k *keeper) set(version string, list ...lookup.Found) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.version, k.list = version, list
	close(k.changed)
	k.changed = make(chan struct{})
}

func (k *keeper) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.FormValue("select") != "role:billing@/shop/..." {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = w.Write([]byte(`{"error":"cannot select by that"}`))
		return
	}
	for {
		k.mu.Lock()
		version, list, changed := k.version, k.list, k.changed
		k.mu.Unlock()
		if version != r.FormValue("after") {
			w.Header().Set("ETag", `"`+version+`"`)
			_ = json.NewEncoder(w).Encode(list)
			return
		}
		select {
		case <-changed:
		case <-r.Context().Done():
			return
		}
	}
}

// serve serves gRPC's health service, and returns the server as a keeper has it.
func serve(t *testing.T, name, network, address string) lookup.Found {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer()
	healthpb.RegisterHealthServer(s, health.NewServer())
	go func() { _ = s.Serve(l) }()
	t.Cleanup(s.Stop)
	return lookup.Found{Server: name, Sockets: []lookup.Socket{
		{Name: "admin", Network: "tcp", Address: "127.0.0.1:1"}, {Name: "grpc", Network: network, Address: l.Addr().String()},
	}}
}

// TestFollows: a client calls whoever is ready, at TCP and Unix sockets, and is told when that changes.
func TestFollows(t *testing.T) {
	dir, err := os.MkdirTemp("/tmp", "resolver") // paths of sockets are short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	k := &keeper{version: "1", changed: make(chan struct{})}
	door, err := net.Listen("unix", filepath.Join(dir, "keeper.sock"))
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: k}
	go func() { _ = server.Serve(door) }()
	t.Cleanup(func() { server.Close() })
	t.Setenv(lookup.Variable, door.Addr().String())

	dial := func(name string) healthpb.HealthClient {
		conn, err := grpc.NewClient(name, grpc.WithResolvers(resolver.Builder()), grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithDefaultServiceConfig(`{"loadBalancingConfig":[{"round_robin":{}}]}`))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return healthpb.NewHealthClient(conn)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	client := dial("divisi:///role:billing@/shop/...")
	// awaits calls until exactly these addresses have answered in turn.
	awaits := func(addresses ...string) {
		t.Helper()
		for {
			seen := map[string]bool{}
			for range 2 * len(addresses) {
				var at peer.Peer
				_, err := client.Check(ctx, &healthpb.HealthCheckRequest{}, grpc.Peer(&at), grpc.WaitForReady(true))
				if err != nil {
					t.Fatal(err)
				}
				seen[at.Addr.String()] = true
			}
			good := len(seen) == len(addresses)
			for _, a := range addresses {
				good = good && seen[a]
			}
			if good {
				return
			}
		}
	}

	_, err = client.Check(ctx, &healthpb.HealthCheckRequest{})
	if err == nil || !strings.Contains(err.Error(), "no server is ready that the name picks") {
		t.Errorf("without servers: %v", err)
	}
	one, two := serve(t, "billing-0@/shop", "tcp", "127.0.0.1:0"), serve(t, "billing-1@/shop", "unix", filepath.Join(dir, "b.sock"))
	k.set("2", one)
	awaits(one.Sockets[1].Address)
	k.set("3", one, two)
	awaits(one.Sockets[1].Address, two.Sockets[1].Address)
	k.set("4", two)
	awaits(two.Sockets[1].Address)
	k.set("5")
	for err = nil; err == nil; {
		_, err = client.Check(ctx, &healthpb.HealthCheckRequest{})
	}
	if status.Code(err) != codes.Unavailable {
		t.Errorf("when all are gone: %v", err)
	}

	for name, want := range map[string]string{
		"divisi:///role:billing@/shop/...?socket=none": "no server is ready that the name picks and that has such a socket",
		"divisi:///role:": "cannot select by that",
		"divisi:///":      "has no selector",
	} {
		_, err := dial(name).Check(ctx, &healthpb.HealthCheckRequest{})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
}
