// Package upkeep follows a store for those who ask, and ends what nobody has renewed.
package upkeep

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/divisi-go/divisi/store/internal/consul/catalog"
	"github.com/divisi-go/divisi/store/internal/consul/index"
	"github.com/divisi-go/divisi/store/internal/consul/state"
)

// memory is how many revisions of the past the indexes of queries are taken from when a server starts. What was changed
// before counts as changed then.
const memory = 100_000

// Upkeep is what goes on in a server whether it is asked or not.
type Upkeep struct {
	Client  *clientv3.Client
	Prefix  string // of all keys
	Index   *index.Index
	State   *state.State
	Catalog *catalog.Catalog
	Enter   func(context.Context) error // enters the server into the catalog
	Logger  *slog.Logger

	due      *due
	followed chan struct{}
}

// New returns the upkeep that u describes.
func New(u Upkeep) *Upkeep {
	u.due, u.followed = newDue(), make(chan struct{})
	return &u
}

// Followed is closed when the index knows the past of the store.
func (u *Upkeep) Followed() <-chan struct{} { return u.followed }

// Serve follows the store until the context ends. It fails only if it cannot begin.
func (u *Upkeep) Serve(ctx context.Context) error {
	var expiring sync.WaitGroup
	defer expiring.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	expiring.Go(func() { u.expire(ctx) })
	return u.follow(ctx)
}

// follow tells the index what changes in the store, by one watch for all requests, until the context ends.
func (u *Upkeep) follow(ctx context.Context) error {
	booted, from, err := u.begin(ctx)
	if err != nil {
		return fmt.Errorf("cannot read the store: %w", err)
	}
	for {
		u.Index.Forget(from - 1)
		compacted := u.watch(ctx, &from, booted)
		if ctx.Err() != nil {
			return nil
		}
		from = max(from, compacted+1)
		select {
		case <-time.After(time.Second): // etcd cannot be reached
		case <-ctx.Done():
			return nil
		}
	}
}

// begin writes a key, so that there is a change by which one sees that the past is over, and returns its revision, and
// from which one on the store is followed.
func (u *Upkeep) begin(ctx context.Context) (booted, from int64, err error) {
	err = u.Enter(ctx)
	if err != nil {
		return 0, 0, err
	}
	put, err := u.Client.Put(ctx, u.Prefix+"boot", "")
	if err != nil {
		return 0, 0, err
	}
	booted = put.Header.Revision
	return booted, max(1, booted-memory), nil
}

// watch follows the store from a revision on, which it moves, until the watch ends, and returns up to where the past is
// compacted if that is why.
func (u *Upkeep) watch(ctx context.Context, from *int64, booted int64) (compacted int64) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for r := range u.Client.Watch(ctx, u.Prefix, clientv3.WithPrefix(), clientv3.WithRev(*from)) {
		if r.Err() != nil {
			u.Logger.Warn("the store cannot be followed", "error", r.Err())
			return r.CompactRevision
		}
		for events := r.Events; len(events) > 0; {
			revision, n := events[0].Kv.ModRevision, 1
			for n < len(events) && events[n].Kv.ModRevision == revision {
				n++
			}
			u.apply(revision, events[:n])
			events, *from = events[n:], revision+1
		}
		select {
		case <-u.followed:
		default:
			if *from > booted {
				close(u.followed)
			}
		}
	}
	return 0
}

// apply takes the changes of one revision.
func (u *Upkeep) apply(revision int64, events []*clientv3.Event) {
	changes := make([]index.Change, len(events))
	for i, e := range events {
		changes[i] = index.Change{
			Key:     strings.TrimPrefix(string(e.Kv.Key), u.Prefix),
			Deleted: e.Type == clientv3.EventTypeDelete,
		}
	}
	u.Index.Apply(revision, changes)
	u.due.note(changes)
}
