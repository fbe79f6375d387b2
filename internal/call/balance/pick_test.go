package balance

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// TestRendezvous compares the moves with the least possible: 1/n of all.
func TestRendezvous(t *testing.T) {
	const shards = 20_000
	for n := 1; n <= 12; n++ {
		p := NewPool(PoolOptions{})
		var rs []*replica
		for i := range n + 1 {
			addr := fmt.Sprintf("unix:///run/app/%d", i)
			rs = append(rs, &replica{addr: addr, hash: hashAddr(addr)})
		}
		moved := 0
		share := map[*replica]int{}
		for shard := range uint64(shards) {
			before, after := p.ownerLocked(time.Time{}, rs[:n], shard), p.ownerLocked(time.Time{}, rs, shard)
			share[after]++
			if before != after {
				moved++
				if after != rs[n] {
					t.Fatalf("a shard moves between replicas that were there before")
				}
			}
		}
		want := shards / (n + 1)
		for r, got := range share {
			if got < want*85/100 || got > want*115/100 {
				t.Errorf("%d replicas: %s has %d shards, not about %d", n+1, r.addr, got, want)
			}
		}
		if moved != share[rs[n]] {
			t.Errorf("%d shards move to a replica that has %d", moved, share[rs[n]])
		}
	}
}

func TestSliceOf(t *testing.T) {
	parts := []Slice{{Start: 10}, {Start: 20}, {Start: 1 << 63}}
	for shard, want := range map[uint64]int{0: 2, 9: 2, 10: 0, 19: 0, 20: 1, 1<<63 - 1: 1, 1 << 63: 2, 1<<64 - 1: 2} {
		if got := sliceOf(parts, shard); got != want {
			t.Errorf("%d is in slice %d, want %d", shard, got, want)
		}
	}
}

func TestLighter(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	loads := []int{5, 0, 5, 9}
	var picked [4]int
	for range 12_000 {
		picked[lighter(4, func(i int) int { return loads[i] }, rnd.IntN)]++
	}
	// Of the six pairs the idle one wins three, the equal ones share one and win over the
	// busiest, which never wins.
	want := []int{3000, 6000, 3000, 0}
	for i, n := range picked {
		if n < want[i]*9/10 || n > want[i]*11/10 {
			t.Errorf("picked %v, want about %v", picked, want)
			break
		}
	}
}
