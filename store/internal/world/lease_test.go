package world

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/lease"

	"github.com/divisi-go/divisi/store/internal/drive"
)

// slack is how much longer than its time to live a lease may live in a group that is well: two elections, and a second
// in which the leader looks for those that have ended.
const slack = 2*drive.Election + time.Second

// TestLeaseLives: what is left of a long lease is known to the next leader.
func TestLeaseLives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, 3, nil)
		ctx := t.Context()
		granted, err := w.leader().client.Grant(ctx, 400)
		if err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		time.Sleep(310 * time.Second) // what is left is written each five minutes
		w.crash(w.leader())
		left, err := w.leader().client.TimeToLive(ctx, granted.ID)
		if err != nil || left.TTL > 105 || left.TTL < 90 {
			t.Errorf("after %v of 400 seconds another leader has the lease %+v: %v", time.Since(begin), left, err)
		}
	})
}

// holders are clients with leases, each for one key.
type holders struct {
	mu   sync.Mutex           // guards all below
	kept map[string]time.Time // until when the key has to live
	gone map[string]time.Time // when it was seen to be deleted
	bad  []string
}

func newHolders() *holders {
	return &holders{kept: map[string]time.Time{}, gone: map[string]time.Time{}}
}

// hold keeps leases alive, one after another, each for a while.
func (h *holders) hold(ctx context.Context, holder int, random *rand.Rand, next func() reach) {
	for i := 0; ctx.Err() == nil; i++ {
		key := fmt.Sprintf("lease %d of %d", i, holder)
		ttl := 2 + random.Int64N(4)
		granted, err := next().Grant(ctx, ttl)
		if err == nil {
			_, err = next().Put(ctx, key, key, clientv3.WithLease(granted.ID))
		}
		for err == nil && ctx.Err() == nil && random.IntN(6) > 0 {
			begin := time.Now()
			var left int64
			left, err = next().server.Renew(ctx, lease.LeaseID(granted.ID))
			if err == nil {
				h.keep(key, begin.Add(time.Duration(left)*time.Second))
			}
			sleep(ctx, time.Duration(random.Int64N(ttl*int64(time.Second))))
		}
		sleep(ctx, drive.Tick)
	}
}

func (h *holders) keep(key string, until time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.kept[key] = until
	if gone, some := h.gone[key]; some && gone.Before(until.Add(-time.Second)) {
		// It may have ended after the answer, but not before the question.
		h.bad = append(h.bad, fmt.Sprintf("%s was deleted at %v, and is kept later, until %v", key, gone, until))
	}
}

// show notes when keys go.
func (h *holders) show(e *mvccpb.Event) {
	if e.Type == mvccpb.Event_DELETE {
		h.goes(string(e.Kv.Key))
	}
}

func (h *holders) goes(key string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	if until := h.kept[key]; now.Before(until) {
		h.bad = append(h.bad, fmt.Sprintf("%s was deleted %v before its time", key, until.Sub(now)))
	}
	if _, again := h.gone[key]; again {
		h.bad = append(h.bad, key+" was deleted twice")
	}
	h.gone[key] = now
}
