package place

import (
	"math/bits"
	"slices"
)

// Slice is a part of the space of the hashes of keys, up to the start of the next slice.
type Slice struct {
	Start   uint64
	Replica string // its address
}

// Assignment says which replica of a routed component has which keys. The slices are sorted, the
// first starts at 0, and neighbours have different replicas. An assignment does not change:
// methods return another one, or the same if there is nothing to change.
type Assignment struct {
	Slices  []Slice
	Version uint64 // 0 before the first replica; grows by one with every change
}

// Load is how much is asked of the keys of a part of the space.
type Load struct {
	Start, End uint64 // without End, unless that is the largest number
	Rate       float64
}

const (
	// Atoms are the equal parts of the space that go from replica to replica as a whole. Each
	// replica has atomsEach or more of at least minAtoms, enough for shares that differ by an
	// eighth. Their number also bounds that of the slices.
	minAtoms  = 64
	maxAtoms  = 4096
	atomsEach = 8

	// A replica with more than overload times the mean passes keys on, but in one step only those
	// of maxMoved of the whole load: every key that moves leaves a cold cache behind.
	overload = 1.2
	maxMoved = 0.1

	// idle is the part of the load that is taken to be spread over all keys, whatever is reported:
	// keys that nobody asks for now should not all be in one place when somebody does.
	idle = 0.1
)

// Reassign follows the replicas that there are. The keys of those that are gone go to the others,
// those that are new get some of everybody's, and no other keys move. Shares are equal by the
// loads, or by the number of keys without any. As long as there is no replica, nothing changes.
func (a Assignment) Reassign(replicas []string, loads []Load) Assignment {
	if len(replicas) == 0 {
		return a
	}
	b := newBoard(a, replicas, loads)
	b.adopt()
	for r := range b.replicas {
		if b.atoms[r] == 0 {
			b.welcome(r)
		}
	}
	return b.assignment(a)
}

// Rebalance moves a few keys away from replicas with too much load. Repeated, it ends when no
// replica has too much, or only because of keys that cannot be parted.
func (a Assignment) Rebalance(loads []Load) Assignment {
	if len(a.Slices) == 0 {
		return a
	}
	var replicas []string
	for _, s := range a.Slices {
		replicas = append(replicas, s.Replica)
	}
	b := newBoard(a, replicas, loads)
	b.relieve()
	return b.assignment(a)
}

// board is where an assignment is worked out, atom by atom.
type board struct {
	replicas []string  // sorted
	owner    []int     // by atom, an index of replicas, or -1
	weight   []float64 // by atom
	held     []float64 // by replica, the weight of its atoms
	atoms    []int     // by replica, how many it has
	mean     float64   // of held
}

func newBoard(a Assignment, replicas []string, loads []Load) *board {
	b := &board{replicas: slices.Compact(slices.Sorted(slices.Values(replicas)))}
	n := minAtoms
	for n < maxAtoms && n < atomsEach*len(b.replicas) {
		n *= 2
	}
	for _, s := range a.Slices {
		for n < maxAtoms && s.Start%size(n) != 0 { // a larger atom would have two replicas
			n *= 2
		}
	}
	b.owner, b.weight = make([]int, n), weigh(n, loads)
	b.held, b.atoms = make([]float64, len(b.replicas)), make([]int, len(b.replicas))
	slice := 0
	for i := range n {
		b.mean += b.weight[i] / float64(len(b.replicas))
		b.owner[i] = -1
		for slice+1 < len(a.Slices) && a.Slices[slice+1].Start <= uint64(i)*size(n) {
			slice++
		}
		if len(a.Slices) == 0 {
			continue
		}
		if r, ok := slices.BinarySearch(b.replicas, a.Slices[slice].Replica); ok {
			b.give(i, r)
		}
	}
	return b
}

// size returns how many hashes an atom has when there are n, which is a power of two.
func size(n int) uint64 { return 1 << (65 - bits.Len(uint(n))) }

// weigh returns the weights of n atoms. A load is spread evenly over the atoms that it is about.
func weigh(n int, loads []Load) []float64 {
	weight := make([]float64, n)
	total := 0.0
	for _, l := range loads {
		if l.Start >= l.End || !(l.Rate > 0) { // it may be no number
			continue
		}
		total += l.Rate
		first, last := l.Start/size(n), (l.End-1)/size(n)
		for i := first; i <= last; i++ {
			weight[i] += l.Rate / float64(last-first+1)
		}
	}
	even := 1.0
	if total > 0 {
		even = idle * total / float64(n)
	}
	for i := range weight {
		weight[i] += even
	}
	return weight
}

// give gives an atom to a replica.
func (b *board) give(atom, r int) {
	if before := b.owner[atom]; before >= 0 {
		b.held[before] -= b.weight[atom]
		b.atoms[before]--
	}
	b.owner[atom] = r
	b.held[r] += b.weight[atom]
	b.atoms[r]++
}

// adopt gives atoms without a replica to those with the least. As long as that makes nobody's
// share too large, neighbours stay together.
func (b *board) adopt() {
	for i, owner := range b.owner {
		if owner >= 0 {
			continue
		}
		r := b.lightest()
		if i > 0 {
			if left := b.owner[i-1]; b.held[left]+b.weight[i] <= b.mean {
				r = left
			}
		}
		b.give(i, r)
	}
}

// welcome gives a replica that has nothing its share of what the others have.
func (b *board) welcome(r int) {
	for range b.owner {
		missing := b.mean - b.held[r]
		atom := -1
		for _, donor := range b.heaviest() {
			if b.held[donor] <= b.mean {
				break
			}
			if atom = b.pick(donor, r, missing); atom >= 0 {
				break
			}
		}
		if atom < 0 {
			break
		}
		b.give(atom, r)
	}
	if b.atoms[r] == 0 { // all atoms that can be spared are too heavy: one is better than none
		for _, donor := range b.heaviest() {
			if atom := b.least(donor); b.atoms[donor] > 1 {
				b.give(atom, r)
				return
			}
		}
	}
}

// relieve moves atoms from the heaviest replicas to the lightest. Each move makes the larger of
// the two shares smaller, so that moves cannot go round in circles.
func (b *board) relieve() {
	left := maxMoved * b.mean * float64(len(b.replicas))
	moved := false
	for range b.owner {
		atom, to := -1, b.lightest()
		for _, donor := range b.heaviest() {
			if b.held[donor] <= overload*b.mean {
				break
			}
			gap := b.held[donor] - b.held[to]
			atom = b.pick(donor, to, min(left, gap/2))
			if least := b.least(donor); atom < 0 && !moved && b.weight[least] < gap && b.atoms[donor] > 1 {
				atom = least
			}
			if atom >= 0 {
				break
			}
		}
		if atom < 0 {
			return
		}
		left -= b.weight[atom]
		moved = true
		b.give(atom, to)
	}
}

// pick returns the heaviest atom of a replica with more than one that weighs at most as much, or
// -1. Of several it is one next to those of the receiver, or else one whose going does not tear a
// slice apart, so that slices stay few.
func (b *board) pick(donor, receiver int, most float64) int {
	best, bestNear := -1, -1
	for i, owner := range b.owner {
		if owner != donor || b.weight[i] > most || b.atoms[donor] == 1 {
			continue
		}
		near := 0
		for _, next := range []int{i - 1, i + 1} {
			switch {
			case next < 0 || next == len(b.owner):
			case b.owner[next] == receiver:
				near += 3
			case b.owner[next] != donor:
				near++
			}
		}
		if best < 0 || b.weight[i] > b.weight[best] || b.weight[i] == b.weight[best] && near > bestNear {
			best, bestNear = i, near
		}
	}
	return best
}

// least returns the lightest atom of a replica, which must have one.
func (b *board) least(r int) int {
	best := -1
	for i, owner := range b.owner {
		if owner == r && (best < 0 || b.weight[i] < b.weight[best]) {
			best = i
		}
	}
	return best
}

// heaviest returns the replicas by what they hold, the heaviest first.
func (b *board) heaviest() []int {
	order := make([]int, len(b.replicas))
	for r := range order {
		order[r] = r
	}
	slices.SortStableFunc(order, func(x, y int) int {
		switch {
		case b.held[x] > b.held[y]:
			return -1
		case b.held[x] < b.held[y]:
			return 1
		}
		return 0
	})
	return order
}

func (b *board) lightest() int {
	best := 0
	for r := range b.replicas {
		if b.held[r] < b.held[best] {
			best = r
		}
	}
	return best
}

// assignment returns the board as the assignment after a, or a itself if it says the same.
func (b *board) assignment(a Assignment) Assignment {
	next := Assignment{Version: a.Version + 1}
	for i, r := range b.owner {
		if i == 0 || r != b.owner[i-1] {
			next.Slices = append(next.Slices, Slice{uint64(i) * size(len(b.owner)), b.replicas[r]})
		}
	}
	if slices.Equal(next.Slices, a.Slices) {
		return a
	}
	return next
}
