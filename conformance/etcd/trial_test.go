package etcd

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/divisi-go/divisi/store/storetest"
)

// patience is how long a trial waits for what has to come.
const patience = time.Minute

// trial is traffic against a store that does not stay up: clients of keys, clients of leases, and a watch of all keys,
// which goes on where it has ended.
type trial struct {
	t       *testing.T
	clients clientv3.Config
	ctx     context.Context // of the watch
	writing context.Context // of the others, and ends before that
	stop    context.CancelFunc
	stopAll context.CancelFunc
	workers sync.WaitGroup
	watcher sync.WaitGroup

	history storetest.History

	mu      sync.Mutex // guards all below
	events  []seen
	tenants []*tenant
	wrong   []error

	next atomic.Int64 // the revision that the watch sees next
}

// seen is an event of the watch.
type seen struct {
	*clientv3.Event
	at time.Time
}

// try begins a trial. With tidy, keys are compacted and the database is defragmented all the time.
func try(t *testing.T, clients clientv3.Config, tidy bool) *trial {
	clients.Logger = zap.NewNop()
	r := &trial{t: t, clients: clients}
	r.ctx, r.stopAll = context.WithCancel(t.Context())
	r.writing, r.stop = context.WithCancel(r.ctx)
	r.next.Store(1)
	for id := range 4 {
		r.start(&r.workers, func(c *clientv3.Client) {
			r.history.Work(r.writing, id, rand.New(rand.NewPCG(rand.Uint64(), 0)), func() *clientv3.Client { return c })
		})
	}
	for id := range 2 {
		r.start(&r.workers, func(c *clientv3.Client) { r.rent(c, id) })
	}
	if tidy {
		r.start(&r.workers, r.tidy)
	}
	r.start(&r.watcher, r.watch)
	return r
}

// start runs a client.
func (r *trial) start(all *sync.WaitGroup, run func(*clientv3.Client)) {
	all.Go(func() {
		c, err := clientv3.New(r.clients)
		if err != nil {
			r.fault(err)
			return
		}
		defer c.Close()
		run(c)
	})
}

// fault takes note of what is wrong.
func (r *trial) fault(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.wrong = append(r.wrong, err)
}

// String says how much has happened.
func (r *trial) String() string {
	answered, unknown := r.history.Answered()
	r.mu.Lock()
	defer r.mu.Unlock()
	return fmt.Sprintf("%d answers, %d writes without one, %d leases, %d events", answered, unknown, len(r.tenants), len(r.events))
}

// until waits for a condition.
func (r *trial) until(what string, done func() bool) bool {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()
	for !done() {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			r.fault(fmt.Errorf("%s: not after %v", what, patience))
			return false
		}
	}
	return true
}

// wait waits for so many answers more.
func (r *trial) wait(more int) {
	r.t.Helper()
	count := func() int {
		answered, _ := r.history.Answered()
		return answered
	}
	begin := count()
	r.until("the store answers", func() bool { return count() >= begin+more })
}

// end ends the traffic, and returns what was wrong. The store has to serve.
func (r *trial) end() error {
	r.t.Helper()
	r.stop()
	r.workers.Wait()
	c, err := clientv3.New(r.clients)
	if err != nil {
		return err
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(r.ctx, patience)
	defer cancel()
	last, err := c.Get(ctx, "last", clientv3.WithCountOnly())
	if err != nil {
		return fmt.Errorf("in the end: %w", err)
	}
	r.until("the watch shows all revisions", func() bool { return r.next.Load() > last.Header.Revision })
	r.until("all leases end", r.vacant)
	r.stopAll()
	r.watcher.Wait()

	r.history.Check(r)
	var events []*clientv3.Event
	for _, e := range r.events {
		events = append(events, e.Event)
	}
	r.history.Compare(r, events)
	r.judge()
	return errors.Join(r.wrong...)
}

// abort ends a trial of which nothing is wanted any more.
func (r *trial) abort() {
	r.stopAll()
	r.workers.Wait()
	r.watcher.Wait()
}

// watch sees all events until the context ends.
func (r *trial) watch(c *clientv3.Client) {
	for r.ctx.Err() == nil {
		for response := range c.Watch(r.ctx, "", clientv3.WithPrefix(), clientv3.WithRev(r.next.Load())) {
			if response.CompactRevision != 0 {
				r.fault(fmt.Errorf("a watch from %d was told of a compaction at %d", r.next.Load(), response.CompactRevision))
				return
			}
			now := time.Now()
			r.mu.Lock()
			for _, e := range response.Events {
				r.events = append(r.events, seen{e, now})
				r.next.Store(e.Kv.ModRevision + 1)
			}
			r.mu.Unlock()
		}
	}
}

// tidy compacts what the watch has seen, and defragments.
func (r *trial) tidy(c *clientv3.Client) {
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for i := 0; r.writing.Err() == nil; i++ {
		ctx, cancel := context.WithTimeout(r.writing, 10*time.Second)
		switch i % 3 { // what fails now is tried again
		case 0:
			_, _ = c.Compact(ctx, max(1, r.next.Load()-1), clientv3.WithCompactPhysical())
		case 1:
			_, _ = c.Defragment(ctx, r.clients.Endpoints[0])
		case 2:
			members, err := c.MemberList(ctx)
			if err == nil {
				_, _ = c.MemberUpdate(ctx, members.Members[0].ID, []string{fmt.Sprint("http://localhost:", 2380+i%2)})
			}
		}
		cancel()
		<-ticker.C
	}
}

// Helper, Error and Errorf take note of what the history says is wrong.
func (r *trial) Helper() {}

// Error implements [storetest.T].
func (r *trial) Error(what ...any) { r.fault(errors.New(fmt.Sprint(what...))) }

// Errorf implements [storetest.T].
func (r *trial) Errorf(format string, what ...any) { r.fault(fmt.Errorf(format, what...)) }

// shortest is the shortest time to live that there is.
const shortest = 2 * time.Second

// tenant is a lease with one key.
type tenant struct {
	key     string
	put     bool      // the key was written, and that was answered
	renewed time.Time // when the last renewal that was answered was asked for
	lives   time.Duration
	revoked bool // somebody has asked for that
}

// rent makes leases, renews each for a while, and revokes half of them.
func (r *trial) rent(c *clientv3.Client, client int) {
	for i := 0; r.writing.Err() == nil; i++ {
		r.rentOne(c, fmt.Sprintf("lease %d of %d", i, client))
	}
}

func (r *trial) rentOne(c *clientv3.Client, key string) {
	ctx, cancel := context.WithTimeout(r.writing, 10*time.Second)
	defer cancel()
	begin := time.Now()
	lease, err := c.Grant(ctx, int64(shortest/time.Second))
	if err != nil {
		return // it has no key, so nobody notices it
	}
	l := &tenant{key: key, renewed: begin, lives: time.Duration(lease.TTL) * time.Second}
	r.mu.Lock()
	r.tenants = append(r.tenants, l)
	r.mu.Unlock()
	_, err = c.Put(ctx, key, "here", clientv3.WithLease(lease.ID))
	l.put = err == nil

	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for range rand.IntN(5) {
		<-ticker.C
		begin := time.Now()
		kept, err := c.KeepAliveOnce(ctx, lease.ID)
		if err == nil && kept.TTL > 0 {
			l.renewed = begin
		}
	}
	if rand.IntN(2) == 0 {
		l.revoked = true
		_, _ = c.Revoke(ctx, lease.ID) // what has no answer may be done, and the lease ends by itself else
	}
}

// life is what the watch has seen of a key.
type life struct {
	puts, deletes int
	died          time.Time
}

func (r *trial) lives() map[string]life {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := map[string]life{}
	for _, e := range r.events {
		l := all[string(e.Kv.Key)]
		if e.Type == clientv3.EventTypeDelete {
			l.deletes++
			l.died = e.at
		} else {
			l.puts++
		}
		all[string(e.Kv.Key)] = l
	}
	return all
}

// vacant says whether all keys of leases are gone. It is asked when no lease is made or renewed any more.
func (r *trial) vacant() bool {
	all := r.lives()
	for _, l := range r.tenants {
		if all[l.key].deletes < all[l.key].puts {
			return false
		}
	}
	return true
}

// judge: no key of a lease has died early, and each once.
func (r *trial) judge() {
	all := r.lives()
	for _, l := range r.tenants {
		seen := all[l.key]
		switch {
		case seen.puts > 1 || seen.deletes > seen.puts || l.put && seen.puts == 0:
			r.fault(fmt.Errorf("the key of %s was written %d times, and deleted %d times", l.key, seen.puts, seen.deletes))
		case seen.deletes > 0 && !l.revoked && seen.died.Before(l.renewed.Add(l.lives)):
			r.fault(fmt.Errorf("%s has died %v before its time", l.key, l.renewed.Add(l.lives).Sub(seen.died)))
		}
	}
}
