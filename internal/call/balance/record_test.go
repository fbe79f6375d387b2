package balance

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/divisi-go/divisi/codegen"
	"github.com/divisi-go/divisi/internal/call"
	"github.com/divisi-go/divisi/internal/call/calltest"
	"github.com/divisi-go/divisi/internal/call/memnet"
)

// ward is replicas whose handlers take as long as is said.
type ward struct {
	hosts []*calltest.Host
	addrs []string
	takes []atomic.Int64 // by replica; negative panics
	n     *memnet.Network
}

func newWard(t *testing.T, replicas int, takes time.Duration) *ward {
	w := &ward{n: memnet.New(), takes: make([]atomic.Int64, replicas)}
	for i := range replicas {
		w.takes[i].Store(int64(takes))
		addr := fmt.Sprint(i)
		w.addrs = append(w.addrs, addr)
		w.hosts = append(w.hosts, calltest.ServeMem(t, w.n, addr, call.ServerOptions{
			Lookup: calltest.Handlers{1: func(ctx context.Context, _ *call.Incoming) call.Reply {
				mean := w.takes[i].Load()
				if mean < 0 {
					panic("broken")
				}
				select {
				case <-time.After(time.Duration(mean/2 + rand.Int64N(mean))):
				case <-ctx.Done():
				}
				return call.Reply{}
			}}.Lookup,
		}))
	}
	return w
}

// load has a number of callers call for some time, and returns how long the calls have taken, sorted, and
// how many calls each replica has had.
func (w *ward) load(t *testing.T, p *Pool, callers int, d, deadline time.Duration, r call.Request) (took []time.Duration, shares []int) {
	before := make([]uint64, len(w.hosts))
	for i, h := range w.hosts {
		before[i] = h.Stats().Calls
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	end := time.Now().Add(d)
	for range callers {
		wg.Go(func() {
			for time.Now().Before(end) {
				ctx, cancel := context.WithTimeout(t.Context(), deadline)
				began := time.Now()
				reply, err := p.Call(ctx, &r)
				cancel()
				mu.Lock()
				took = append(took, time.Since(began))
				mu.Unlock()
				if err != nil || reply.Status != codegen.StatusOK {
					<-time.After(time.Millisecond)
				}
			}
		})
	}
	wg.Wait()
	slices.Sort(took)
	for i, h := range w.hosts {
		shares = append(shares, int(h.Stats().Calls-before[i]))
	}
	return took, shares
}

func (w *ward) ejected(p *Pool) (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range p.replicas {
		if r.leftOut(time.Now()) {
			n++
		}
	}
	return n
}

// TestHalfDead: a replica that is connected and does not answer, panics, or is far slower than others gets
// next to no calls, and its share again when it is well.
func TestHalfDead(t *testing.T) {
	const well, deadline = 20 * time.Millisecond, 400 * time.Millisecond
	for name, ill := range map[string]time.Duration{"silent": time.Hour, "panics": -1, "slow": 10 * well} {
		for _, replicas := range []int{2, 5} {
			t.Run(fmt.Sprint(name, replicas), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWard(t, replicas, well)
					p := memPool(t, w.n, PoolOptions{}, w.addrs...)
					callers := 2 * replicas
					r := call.Request{Method: codegen.Key{1}}
					w.load(t, p, callers, time.Second, deadline, r)
					if n := p.Stats().Ejections; n != 0 {
						t.Fatalf("%d ejections while all are well", n)
					}

					w.takes[0].Store(int64(ill))
					w.load(t, p, callers, time.Second, deadline, r)
					_, shares := w.load(t, p, callers, 3*time.Second, deadline, r)
					if shares[0] > shares[1]/20 {
						t.Errorf("it gets %v of the calls", shares)
					}
					w.takes[0].Store(int64(well))
					<-time.After(10 * time.Second)
					w.load(t, p, callers, time.Second, deadline, r)
					_, shares = w.load(t, p, callers, time.Second, deadline, r)
					if shares[0] < shares[1]/2 {
						t.Errorf("when it is well, it gets %v of the calls", shares)
					}
				})
			})
		}
	}
}

// TestAllHalfDead: if all are equally bad, no more than a third is left out.
func TestAllHalfDead(t *testing.T) {
	for name, ill := range map[string]time.Duration{"silent": time.Hour, "panics": -1, "slow": 200 * time.Millisecond} {
		synctest.Test(t, func(t *testing.T) {
			w := newWard(t, 6, 20*time.Millisecond)
			p := memPool(t, w.n, PoolOptions{}, w.addrs...)
			r := call.Request{Method: codegen.Key{1}}
			w.load(t, p, 12, time.Second, 400*time.Millisecond, r)
			for i := range w.takes {
				w.takes[i].Store(int64(ill))
			}
			for range 15 {
				w.load(t, p, 12, 100*time.Millisecond, 400*time.Millisecond, r)
				if n := w.ejected(p); n > 2 {
					t.Fatalf("%s: %d of 6 are left out", name, n)
				}
			}
		})
	}
}

// TestOneSlow: one slow replica of ten is hardly seen.
func TestOneSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const takes = 20 * time.Millisecond
		w := newWard(t, 10, takes)
		p := memPool(t, w.n, PoolOptions{}, w.addrs...)
		r := call.Request{Method: codegen.Key{1}}
		p99 := func() time.Duration {
			w.load(t, p, 20, time.Second, time.Second, r)
			took, _ := w.load(t, p, 20, 3*time.Second, time.Second, r)
			return took[len(took)*99/100]
		}
		without := p99()
		w.takes[0].Store(int64(10 * takes))
		if with := p99(); float64(with) > 1.3*float64(without) {
			t.Errorf("the slowest of a hundred calls takes %v, and %v without a slow replica", with, without)
		}
	})
}

// TestScattered: answers that take a thousand times as long as others now and then, as on a machine that has
// too much to do, do not tell replicas apart that are all alike.
func TestScattered(t *testing.T) {
	for _, often := range []float64{0.01, 0.1, 0.2, 0.4} {
		p := NewPool(PoolOptions{})
		p.SetReplicas([]string{"a", "b", "c"})
		rnd, now := rand.New(rand.NewPCG(1, 2)), time.Now()
		for range 30_000 {
			took := 100*time.Microsecond + time.Duration(rnd.Int64N(int64(100*time.Microsecond)))
			if rnd.Float64() < often {
				took += time.Duration(rnd.Int64N(int64(100 * time.Millisecond)))
			}
			now = now.Add(took)
			p.judgeLocked(p.replicas[rnd.IntN(3)], now, &outcome{method: codegen.Key{1}, took: took})
		}
		if n := p.Stats().Ejections; n != 0 {
			t.Errorf("%v of the answers are late, and replicas were left out %d times", often, n)
		}
	}
}

// TestNearAndFar: what takes a tenth of the time because it is near does not make others slow.
func TestNearAndFar(t *testing.T) {
	p := NewPool(PoolOptions{})
	p.SetReplicas([]string{"far", "near"})
	now := time.Now()
	for i := range 1000 {
		took := 300 * time.Microsecond
		if i%2 == 0 {
			took *= 10
		}
		now = now.Add(took)
		p.judgeLocked(p.replicas[i%2], now, &outcome{method: codegen.Key{1}, took: took})
	}
	if n := p.Stats().Ejections; n != 0 {
		t.Errorf("replicas were left out %d times", n)
	}
}

// TestHotShard: calls of one shard go to one replica, unless they are far more than those of others.
func TestHotShard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWard(t, 4, 20*time.Millisecond)
		p := memPool(t, w.n, PoolOptions{}, w.addrs...)
		r := call.Request{Method: codegen.Key{1}, Routed: true, Shard: 7}
		_, shares := w.load(t, p, overflow, time.Second, time.Minute, r)
		if slices.Sort(shares); shares[2] != 0 {
			t.Errorf("few calls of one shard are spread: %v", shares)
		}
		took, shares := w.load(t, p, 100, time.Second, time.Minute, r)
		if slices.Sort(shares); shares[2] == 0 || float64(shares[3]) > 0.45*float64(len(took)) {
			t.Errorf("many calls of one shard are not spread: %v", shares)
		}
	})
}
