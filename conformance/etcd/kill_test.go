package etcd

import (
	"context"
	"flag"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/divisi-go/divisi/store/storetest"
)

var kills = flag.Int("kills", 4, "how often the store is killed")

// TestKill: what a store has answered stays true however often it is killed, and a watch that begins where the last
// one ended sees every revision, once and in order.
func TestKill(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	address := freeAddress(t)
	p := serve(t, data, "--listen", address)
	var h storetest.History
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for worker := range 4 {
		c := clientOf(t, address)
		all.Go(func() {
			h.Work(ctx, worker, rand.New(rand.NewPCG(rand.Uint64(), 0)), func() *clientv3.Client { return c })
		})
	}
	watcher := clientOf(t, address)
	events := make(chan []*clientv3.Event, 1)
	go func() { events <- storetest.Watch(ctx, t, func() *clientv3.Client { return watcher }) }()

	for range *kills {
		wait(t, &h, 50+rand.IntN(100))
		_ = p.end(syscall.SIGKILL)
		p = serve(t, data, "--listen", address)
	}
	wait(t, &h, 50)
	cancel()
	all.Wait()

	answered, unknown := h.Answered()
	t.Logf("%d answers, %d writes without one, %d kills", answered, unknown, *kills)
	h.Check(t)
	h.Compare(t, <-events)
}

func clientOf(t *testing.T, address string) *clientv3.Client {
	t.Helper()
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{address}, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// wait waits for so many answers more.
func wait(t *testing.T, h *storetest.History, more int) {
	t.Helper()
	count := func() int {
		answered, _ := h.Answered()
		return answered
	}
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()
	for begin := count(); count() < begin+more; <-ticker.C {
		if t.Context().Err() != nil {
			return
		}
	}
}
