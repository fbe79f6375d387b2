package world

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	servererrors "go.etcd.io/etcd/server/v3/etcdserver/errors"
	"google.golang.org/grpc/metadata"

	"github.com/divisi-go/divisi/store/internal/drive"
	"github.com/divisi-go/divisi/store/internal/server"
)

// TestForwarded: what only the leader can answer, every member answers.
func TestForwarded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, 3, nil)
		ctx, c := t.Context(), w.follower().client
		lease, err := c.Grant(ctx, 60)
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.Put(ctx, "k", "v", clientv3.WithLease(lease.ID))
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(30 * time.Second)
		left, err := c.TimeToLive(ctx, lease.ID, clientv3.WithAttachedKeys())
		if err != nil || left.TTL > 30 || left.TTL < 28 || left.GrantedTTL != 60 || len(left.Keys) != 1 {
			t.Errorf("after 30 of 60 seconds the lease is %+v: %v", left, err)
		}
		kept, err := c.KeepAliveOnce(ctx, lease.ID)
		if err != nil || kept.TTL != 60 {
			t.Errorf("a lease that is kept is %+v: %v", kept, err)
		}
		left, err = c.TimeToLive(ctx, lease.ID)
		if err != nil || left.TTL < 58 {
			t.Errorf("a lease that was kept is %+v: %v", left, err)
		}
		_, err = c.KeepAliveOnce(ctx, lease.ID+1)
		if !errors.Is(err, rpctypes.ErrLeaseNotFound) {
			t.Errorf("a lease that is none is kept with %v", err)
		}

		_, err = c.MoveLeader(ctx, w.follower().id)
		if !errors.Is(err, rpctypes.ErrNotLeader) {
			t.Errorf("who does not lead hands over with %v", err)
		}
		next := w.follower()
		_, err = w.leader().client.MoveLeader(ctx, next.id)
		if err != nil || w.leader() != next {
			t.Errorf("member %x leads, and not %x: %v", w.leader().id, next.id, err)
		}
	})
}

// TestReplaced: a voter that is down is removed, and another member takes its place: first without a vote, then with one.
// A change after which the group could not go on is refused.
func TestReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 2, 3, nil)
		ctx := t.Context()
		w.put(w.leader().client, 10)
		dead := w.follower()
		w.crash(dead)
		c := w.follower().client

		time.Sleep(3 * drive.Election) // the leader has heard of it until just now
		_, err := c.MemberAdd(ctx, []string{urlOf(1)})
		if !errors.Is(err, rpctypes.ErrUnhealthy) {
			t.Errorf("a voter is added, with one of three down: %v", err)
		}
		_, err = c.MemberRemove(ctx, w.leader().id)
		if !errors.Is(err, rpctypes.ErrUnhealthy) {
			t.Errorf("one of the two last voters is removed with %v", err)
		}
		removed, err := c.MemberRemove(ctx, dead.id)
		if err != nil || len(removed.Members) != 2 {
			t.Fatalf("a voter that is down is removed with %v", err)
		}

		added, err := c.MemberAddAsLearner(ctx, []string{urlOf(2)})
		if err != nil {
			t.Fatal(err)
		}
		learner := w.add(added.Member.ID, nil)
		_, err = c.MemberPromote(ctx, learner.id)
		if !errors.Is(err, rpctypes.ErrMemberLearnerNotReady) {
			t.Errorf("a learner that has nothing is promoted with %v", err)
		}
		w.start(learner)
		w.ready(learner)
		w.even()
		_, err = c.MemberPromote(ctx, learner.id)
		if err != nil {
			t.Fatal(err)
		}
		w.even()
		if learner.server.Learner() {
			t.Error("it was promoted, and is a learner")
		}
		w.put(learner.client, 10)

		// Who was removed hears of it, and ends.
		w.start(dead)
		err = w.ends(dead)
		if !errors.Is(err, server.ErrRemoved) {
			t.Errorf("who was removed has ended with %v", err)
		}
		w.gone(dead)
		w.even()
	})
}

// TestLeaderRemoved: a leader that is removed ends, and the others go on.
func TestLeaderRemoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3, 3, nil)
		leader := w.leader()
		_, err := leader.client.MemberRemove(t.Context(), leader.id)
		if err != nil {
			t.Fatal(err)
		}
		err = w.ends(leader)
		if !errors.Is(err, server.ErrRemoved) {
			t.Errorf("it has ended with %v", err)
		}
		w.gone(leader)
		w.put(w.leader().client, 10)
		w.even()
	})
}

// TestHandOver: a leader that is stopped lets another one lead before, so nobody waits for an election.
func TestHandOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 4, 3, nil)
		leader := w.leader()
		w.stop(leader)
		begin := time.Now()
		w.put(w.follower().client, 1)
		if took := time.Since(begin); took > drive.Election {
			t.Errorf("the next write took %v", took)
		}
		w.start(leader)
		w.ready(leader)
		w.even()
	})
}

// TestNoLeader: who wants a leader is told that there is none, and streams end after three election timeouts.
func TestNoLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 5, 3, nil)
		cut := w.follower()
		conn := cut.conn
		ctx := metadata.AppendToOutgoingContext(t.Context(), rpctypes.MetadataRequireLeaderKey, rpctypes.MetadataHasLeader)
		watch, err := pb.NewWatchClient(conn).Watch(ctx)
		if err != nil {
			t.Fatal(err)
		}
		err = watch.Send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: &pb.WatchCreateRequest{Key: []byte("k")}}})
		if err != nil {
			t.Fatal(err)
		}
		_, err = watch.Recv()
		if err != nil {
			t.Fatal(err)
		}

		w.net.isolate(cut.id, w.ids())
		begin := time.Now()
		_, err = watch.Recv()
		if took := time.Since(begin); !errors.Is(rpctypes.Error(err), rpctypes.ErrNoLeader) || took > 10*drive.Election {
			t.Errorf("the watch has ended after %v with %v", took, err)
		}
		_, err = pb.NewKVClient(conn).Range(ctx, &pb.RangeRequest{Key: []byte("k")})
		if !errors.Is(rpctypes.Error(err), rpctypes.ErrNoLeader) {
			t.Errorf("a read is answered with %v", err)
		}
		_, err = cut.server.Renew(t.Context(), 7)
		if !errors.Is(err, servererrors.ErrNoLeader) {
			t.Errorf("a lease is kept with %v", err)
		}
		w.net.heal()
		w.until("that it follows a leader", func() bool { return cut.server.Leader() != 0 })
		_, err = pb.NewKVClient(conn).Range(ctx, &pb.RangeRequest{Key: []byte("k")})
		if err != nil {
			t.Error(err)
		}
	})
}
