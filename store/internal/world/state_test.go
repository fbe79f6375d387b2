package world

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"

	"github.com/divisi-go/divisi/store/internal/drive"
)

// TestState: a member that has missed more than the log of the others gets their whole state, also when it is changed
// on its way at first, and then has their keys, leases, users, alarms and members. Its watches go on without a gap.
func TestState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, 3, nil)
		behind := w.follower()
		watching, stop := context.WithCancel(t.Context())
		conn, last, done := behind.conn, int64(0), make(chan struct{})
		go func() {
			defer close(done)
			watch(watching, "", func() *grpc.ClientConn { return conn }, func(e *mvccpb.Event) {
				if last != 0 && e.Kv.ModRevision != last+1 {
					t.Errorf("the watch shows revision %d after %d", e.Kv.ModRevision, last)
				}
				last = e.Kv.ModRevision
			})
		}()
		w.put(w.leader().client, 10)

		w.net.isolate(behind.id, w.ids())
		c := w.leader().client
		fill(t, w, c)
		w.put(c, 300)
		w.net.heal()
		w.net.mu.Lock()
		w.net.harm = 2
		w.net.mu.Unlock()
		w.even()
		if w.net.states == 0 {
			t.Error("no state was sent, so nothing was tested")
		}
		same(t, c, behind.client)

		// What it has got is on its disk, and it goes on.
		w.put(behind.client, 10)
		w.even()
		time.Sleep(drive.Election)
		stop()
		<-done
		if now := behind.server.State.KV.Rev(); last != now {
			t.Errorf("the watch has seen revision %d, and there is %d", last, now)
		}
		w.crash(behind)
		w.start(behind)
		w.ready(behind)
		w.even()
		same(t, w.leader().client, behind.client)
	})
}

// fill makes a lease, users and an alarm.
func fill(t *testing.T, w *world, c *clientv3.Client) {
	t.Helper()
	ctx := t.Context()
	lease, err := c.Grant(ctx, 3600)
	if err == nil {
		_, err = c.Put(ctx, "leased", "v", clientv3.WithLease(lease.ID))
	}
	if err == nil {
		_, err = c.UserAdd(ctx, "ann", "secret")
	}
	if err == nil {
		_, err = c.RoleAdd(ctx, "reader")
	}
	if err == nil {
		_, err = c.MemberAddAsLearner(ctx, []string{urlOf(1)})
	}
	if err != nil {
		t.Fatal(err)
	}
}

// same compares what two members have besides keys.
func same(t *testing.T, one, other *clientv3.Client) {
	t.Helper()
	ctx := t.Context()
	for what, list := range map[string]func(*clientv3.Client) (int, error){
		"leases": func(c *clientv3.Client) (int, error) {
			r, err := c.Leases(ctx)
			if err != nil {
				return 0, err
			}
			return len(r.Leases), nil
		},
		"users": func(c *clientv3.Client) (int, error) {
			r, err := c.UserList(ctx)
			if err != nil {
				return 0, err
			}
			return len(r.Users), nil
		},
		"members": func(c *clientv3.Client) (int, error) {
			r, err := c.MemberList(ctx, clientv3.WithSerializable())
			if err != nil {
				return 0, err
			}
			return len(r.Members), nil
		},
		"keys": func(c *clientv3.Client) (int, error) {
			r, err := c.Get(ctx, "", clientv3.WithPrefix(), clientv3.WithSerializable())
			if err != nil {
				return 0, err
			}
			return int(r.Count), nil
		},
	} {
		first, err := list(one)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		second, err := list(other)
		if err != nil || first != second || first == 0 {
			t.Errorf("one member has %d %s, and another one %d: %v", first, what, second, err)
		}
	}
}

// TestLearner: a member that joins a store whose log does not begin at its beginning gets the state first.
func TestLearner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 2, 1, nil)
		c := w.leader().client
		w.put(c, 300)
		added, err := c.MemberAddAsLearner(t.Context(), []string{urlOf(1)})
		if err != nil {
			t.Fatal(err)
		}
		learner := w.add(added.Member.ID, nil)
		w.start(learner)
		w.ready(learner)
		w.even()
		if w.net.states != 1 {
			t.Errorf("%d states were sent", w.net.states)
		}

		// One more starts from a folder that has an identity, and nothing else.
		added, err = c.MemberAddAsLearner(t.Context(), []string{urlOf(2)})
		if err != nil {
			t.Fatal(err)
		}
		second := w.add(added.Member.ID, nil)
		w.net.isolate(second.id, w.ids())
		w.start(second)
		time.Sleep(time.Second)
		w.crash(second)
		w.net.heal()
		w.start(second)
		w.ready(second)
		w.even()
		for _, m := range []*member{learner, second} {
			_, err = c.MemberPromote(t.Context(), m.id)
			if err != nil {
				t.Fatal(err)
			}
		}
		w.put(second.client, 10)
		w.even()
	})
}
