// Package store is a store of keys with etcd's v3 API, in the process that opens it: durable, linearizable, with
// watches, leases, locks and elections. Its data folder is etcd's, and so are its clients: what is written for etcd
// works with it, and a program that outgrows one store takes etcd by its address.
//
// One process at a time has a folder. Nothing here is linked into a program that does not import this package.
package store

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"

	"github.com/divisi-go/divisi/store/internal/api"
	"github.com/divisi-go/divisi/store/internal/journal"
	"github.com/divisi-go/divisi/store/internal/listen"
	"github.com/divisi-go/divisi/store/internal/server"
)

// Options say how a store works. Only Dir has to be given.
type Options struct {
	Dir  string // the data folder; an empty or missing one begins a new store
	Name string // of this member, "default" by default

	// ClientURLs are where clients find this member; members tell them to clients that ask for all of them.
	ClientURLs []string

	Quota           int64 // bytes that the database may have, 2 GiB by default; what is over it is refused
	Reserve         int64 // bytes of the disk that are kept for deleting and compacting when it is full, 64 MiB by default; negative for none
	MaxRequestBytes int   // 1.5 MiB by default
	MaxTxnOps       int   // operations of one transaction, 128 by default

	// Retention is how long the past of keys is kept, or, with ByRevision, how many revisions of it. 0, the
	// default, keeps everything until somebody compacts.
	Retention  time.Duration
	ByRevision bool

	// CertUsers says that the common name in the certificate of a client is its user.
	CertUsers bool
	// Tokens is how users are recognised after they gave their password: "simple", the default, or what etcd
	// knows as --auth-token, as "jwt,pub-key=...,priv-key=...,sign-method=RS256".
	Tokens string

	// Logger is told what happens; by default nobody is.
	Logger *slog.Logger
}

func (o Options) server(failed func(error)) (server.Options, error) {
	if o.Dir == "" {
		return server.Options{}, errors.New("cannot open a store: Options.Dir is empty")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	mode := "periodic"
	if o.ByRevision {
		mode = "revision"
	}
	return server.Options{
		Dir: o.Dir, Name: cmp.Or(o.Name, "default"), ClientURLs: o.ClientURLs, PeerURL: "http://localhost:2380",
		Quota: cmp.Or(o.Quota, 2<<30), Reserve: cmp.Or(o.Reserve, 64<<20), MaxRequestBytes: cmp.Or(o.MaxRequestBytes, 1536<<10), MaxTxnOps: cmp.Or(o.MaxTxnOps, 128),
		CompactionMode: mode, Compaction: o.Retention,
		CertUsers: o.CertUsers, Tokens: cmp.Or(o.Tokens, "simple"), BcryptCost: 10,
		CheckInterval: time.Hour,
		Logger:        journal.New(o.Logger.Handler(), failed),
	}, nil
}

// Store is an open store.
type Store struct {
	member *server.Server
	api    *api.API
	cancel context.CancelFunc
}

// Open opens a store, and returns when it serves. The context is for that only.
func Open(ctx context.Context, o Options) (*Store, error) {
	lost := make(chan error, 1)
	options, err := o.server(func(err error) {
		select {
		case lost <- err:
		default:
		}
	})
	if err != nil {
		return nil, err
	}
	member, err := newMember(options, lost)
	if err != nil {
		return nil, err
	}

	serving, cancel := context.WithCancel(context.Background())
	s := &Store{member: member, cancel: cancel}
	go func() { _ = member.Serve(serving) }() // Stop and Err tell its error
	s.api, err = api.New(serving, member)
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	go func() {
		select {
		case err := <-lost:
			member.Abandon(err)
		case <-member.Ended():
		}
		<-member.Ended()
		_ = s.api.Client.Close() // what watches is told
	}()

	select {
	case <-member.Ready():
		return s, nil
	case <-member.Ended():
		return nil, errors.Join(errors.New("cannot open the store"), s.Close())
	case <-ctx.Done():
		return nil, errors.Join(ctx.Err(), s.Close())
	}
}

// newMember opens the folder of a member. Where etcd's packages find that they cannot go on, they end the goroutine, and
// that is an error.
func newMember(o server.Options, lost <-chan error) (*server.Server, error) {
	type result struct {
		member *server.Server
		err    error
	}
	made := make(chan result, 1)
	go func() {
		member, err := server.New(o)
		made <- result{member, err}
	}()
	select {
	case r := <-made:
		return r.member, r.err
	case err := <-lost:
		return nil, fmt.Errorf("cannot open the store in %s: %w; where it is damaged, restore a snapshot into a new folder", o.Dir, err)
	}
}

// Client returns a client of the store, which calls it without a socket. Closing the store ends it. That of package
// go.etcd.io/etcd/client/v3 for other processes is of the same type.
func (s *Store) Client() *clientv3.Client { return s.api.Client }

// Serve serves the API at l until the context or the store ends, and closes l. Where config is not nil, connections
// are encrypted, and its ClientAuth says whether clients need certificates.
func (s *Store) Serve(ctx context.Context, l net.Listener, config *tls.Config) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-s.member.Ended():
			cancel()
		case <-ctx.Done():
		}
	}()
	served := make(chan error, 1)
	go func() {
		served <- listen.Serve(ctx, l, config, s.api.Server(ctx, grpc.Creds(listen.Accepted())), s.api.Pages())
	}()
	select {
	case err := <-served:
		return err
	case <-s.member.Abandoned():
		_ = l.Close() // the other one may have closed it, and may wait for ever for what was locked
		return nil
	}
}

// Done is closed when the store has ended, be it closed or because it cannot go on. A store whose database cannot be written
// ends at once, and then the process has its folder, and what was in memory, until it ends itself.
func (s *Store) Done() <-chan struct{} { return s.member.Ended() }

// Err returns why the store has ended, nil if it was closed, and after Done only.
func (s *Store) Err() error { return s.member.Stop() }

// Close ends the store, and returns when the folder may be opened again. All that was answered is on the disk.
func (s *Store) Close() error {
	err := s.member.Stop()
	s.cancel()
	return err
}
