// Package consulapi serves Consul's HTTP API from a store with etcd's API: keys, blocking queries, sessions, locks,
// transactions, and the catalog of services with their health.
//
// What is written by one API is seen by the other, in one order: Consul's key k is etcd's key consul/kv/k. What is served,
// and what differs from Consul, is in docs/consul.md.
package consulapi

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/divisi-go/divisi/store/internal/consul/catalog"
	"github.com/divisi-go/divisi/store/internal/consul/index"
	"github.com/divisi-go/divisi/store/internal/consul/poll"
	"github.com/divisi-go/divisi/store/internal/consul/state"
	"github.com/divisi-go/divisi/store/internal/consul/upkeep"
)

// Options say how the API is served; the zero value is good for one server on this host.
type Options struct {
	Prefix     string // what the keys in the store begin with, "consul/" by default
	Datacenter string // "dc1" by default
	Node       string // what this server is called, as Consul calls an agent; the name of the host by default
	Address    string // of the node, 127.0.0.1 by default

	// Logger is told what goes wrong; by default nobody is.
	Logger *slog.Logger
}

// Server serves Consul's API.
type Server struct {
	options Options
	client  *clientv3.Client
	index   *index.Index
	state   *state.State
	catalog *catalog.Catalog
	poll    *poll.Poll
	upkeep  *upkeep.Upkeep

	answering chan struct{} // has a token for each of those that answer after a wait

}

// atOnce is how many waiting requests are answered at a time, so that a crowd leaves the processor to others as well.
const atOnce = 64

// New returns a server of the API. The store is ours or etcd's.
func New(client *clientv3.Client, o Options) *Server {
	host, _ := os.Hostname()
	o.Prefix = cmp.Or(o.Prefix, "consul/")
	o.Datacenter = cmp.Or(o.Datacenter, "dc1")
	o.Node = cmp.Or(o.Node, host, "localhost")
	o.Address = cmp.Or(o.Address, "127.0.0.1")
	o.Logger = cmp.Or(o.Logger, slog.New(slog.DiscardHandler))
	x := index.New()
	s := &Server{
		options: o, client: client, index: x, poll: poll.New(x),
		state: state.New(client, o.Prefix), catalog: catalog.New(client, o.Prefix),
		answering: make(chan struct{}, atOnce),
	}
	s.upkeep = upkeep.New(upkeep.Upkeep{
		Client: client, Prefix: o.Prefix, Index: x, State: s.state, Catalog: s.catalog, Enter: s.enter, Logger: o.Logger,
	})
	return s
}

const (
	bodyTime  = 30 * time.Second // how long a client may take to send a body, or to take an answer
	maxHeader = 64 << 10         // keys are in it
)

// Serve serves at l until the context ends, and closes l. Then requests that wait are answered with what is there now.
// Serve is called once.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var working sync.WaitGroup
	defer working.Wait()
	defer cancel()
	failed := make(chan error, 2)
	working.Go(func() { failed <- s.upkeep.Serve(work) })

	server := &http.Server{
		Handler: s, ReadHeaderTimeout: poll.Patience, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: maxHeader,
		ErrorLog: slog.NewLogLogger(s.options.Logger.Handler(), slog.LevelDebug),
	}
	var err error
	select {
	case <-s.upkeep.Followed():
		working.Go(func() { failed <- server.Serve(l) })
		select {
		case err = <-failed:
		case <-ctx.Done():
		}
	case err = <-failed:
	case <-ctx.Done():
	}

	s.poll.Stop()
	patient, end := context.WithTimeout(work, poll.Patience)
	defer end()
	stopped := server.Shutdown(patient)
	if stopped != nil {
		_ = server.Close()
	}
	_ = l.Close()
	if errors.Is(err, http.ErrServerClosed) {
		err = nil
	}
	return err
}
