package balance

import (
	"hash/fnv"
	"sort"
)

// Slice is a part of the space of shards: from Start up to the next slice's.
type Slice struct {
	Start    uint64
	Replicas []string // addresses; calls are balanced over them
}

// sliceOf returns the index of the slice that shard is in. The slices are sorted by Start; what
// lies before the first belongs to the last, as on a ring.
func sliceOf(slices []Slice, shard uint64) int {
	i := sort.Search(len(slices), func(i int) bool { return slices[i].Start > shard })
	return (i + len(slices) - 1) % len(slices)
}

// hashAddr gives a replica its place in rendezvous hashing: FNV-1a, 64 bits.
func hashAddr(addr string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(addr))
	return h.Sum64()
}

// score is what a replica bids for a shard; the highest bid wins (Thaler and Ravishankar's
// rendezvous hashing). When one of n replicas goes, the shards it had, 1/n of all, spread over
// the others, and no other shard moves. The mixing is splitmix64's.
func score(shard, replica uint64) uint64 {
	x := shard ^ replica
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// lighter picks one of n by Mitzenmacher's power of two choices: the less loaded of two at
// random, either of them if they are equal. random(n) is in [0,n).
func lighter(n int, load func(int) int, random func(int) int) int {
	if n == 1 {
		return 0
	}
	i := random(n)
	j := random(n - 1)
	if j >= i {
		j++
	}
	if load(j) < load(i) {
		return j
	}
	return i
}
