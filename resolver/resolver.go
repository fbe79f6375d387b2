// Package resolver finds servers for clients of gRPC, by names of the scheme divisi:
//
//	conn, err := grpc.NewClient("divisi:///role:billing@/shop/...", grpc.WithResolvers(resolver.Builder()), ...)
//
// What follows the slashes is a selector, as for divisi lookup. A client is told at once when a server is ready, asked to end or gone;
// nothing has to be registered. The addresses are those of the socket grpc of each server, or of its only socket; another one is named as in
// divisi:///role:billing?socket=admin. Which of them a call goes to is the load balancing policy of the client: by
// default always the first that answers, with {"loadBalancingConfig":[{"round_robin":{}}]} each in turn.
//
// It asks the keeper that has started this process, or else that of DIVISI_HOME, and has to run as the same user, or as root.
package resolver

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"google.golang.org/grpc/resolver"

	"github.com/divisi-go/divisi/internal/keeper/lookup"
)

// Scheme is what the names begin with.
const Scheme = "divisi"

// Builder returns what finds servers by such names, for [google.golang.org/grpc.WithResolvers].
func Builder() resolver.Builder { return builder{} }

type builder struct{}

// Scheme returns what the names begin with.
func (builder) Scheme() string { return Scheme }

// Build begins to follow the servers of a name.
func (builder) Build(target resolver.Target, conn resolver.ClientConn, _ resolver.BuildOptions) (resolver.Resolver, error) {
	desk, err := lookup.Here()
	if err != nil {
		return nil, err
	}
	if target.Endpoint() == "" {
		return nil, fmt.Errorf("the name %s has no selector: write %s:///SELECTOR, such as %s:///role:web", target.URL.String(), Scheme, Scheme)
	}
	ctx, stop := context.WithCancel(context.Background())
	f := &follower{stop: stop}
	socket := target.URL.Query().Get("socket")
	f.done.Go(func() {
		had := false
		err := desk.Follow(ctx, target.Endpoint(), func(found []lookup.Found, err error) {
			had = tell(conn, found, socket, had, err)
		})
		if ctx.Err() == nil {
			conn.ReportError(err) // the selector means nothing
		}
	})
	return f, nil
}

// tell has a client know servers, and returns whether it has any. While the keeper does not answer it goes on with those it has.
func tell(conn resolver.ClientConn, found []lookup.Found, socket string, had bool, err error) bool {
	var state resolver.State
	for _, f := range found {
		if at, ok := addressOf(f, socket); ok {
			state.Endpoints = append(state.Endpoints, resolver.Endpoint{Addresses: []resolver.Address{{Addr: at}}})
		}
	}
	has := len(state.Endpoints) > 0
	switch {
	case err != nil:
		conn.ReportError(err)
		return had
	case has || had:
		_ = conn.UpdateState(state) // the error is that there is none, which is a state as well
	default:
		conn.ReportError(errNone)
	}
	return has
}

var errNone = errors.New("no server is ready that the name picks and that has such a socket")

// addressOf returns where a server serves gRPC.
func addressOf(f lookup.Found, socket string) (string, bool) {
	for _, s := range f.Sockets {
		switch {
		case s.Name != socket && (socket != "" || s.Name != "grpc" && len(f.Sockets) > 1):
		case s.Network == "unix":
			return "unix:" + s.Address, true
		default:
			return s.Address, true
		}
	}
	return "", false
}

// follower is a name that is followed.
type follower struct {
	stop context.CancelFunc
	done sync.WaitGroup
}

// ResolveNow does nothing: what changes is told at once.
func (*follower) ResolveNow(resolver.ResolveNowOptions) {}

// Close ends it.
func (f *follower) Close() {
	f.stop()
	f.done.Wait()
}
