// Package index knows from the changes of a store which index each of Consul's blocking queries has, and wakes who waits
// for a change of it. It reads nothing and starts nothing.
package index

import (
	"context"
	"strings"
	"sync"
)

// Change is what became of one key. The first segment of a key is its table.
type Change struct {
	Key     string
	Deleted bool
}

// Index follows the changes of a store, one revision after the other.
//
//   - What a query's index is may be too high, which is an answer too early, and is never too low.
//   - It never falls.
//   - A change wakes those who wait for its key, or for what the key begins with, and nobody else.
type Index struct {
	mu        sync.Mutex
	floor     int64 // what happened up to here is not known
	revision  int64
	tables    map[string]int64 // the newest change of each table
	deletions directory
	advanced  chan struct{} // closed, and replaced, with every revision
	waiting   map[Range]map[*Point]bool
	lengths   map[int]int // how many ranges are prefixes of a length
}

// Range is a key, or all keys that begin with a prefix.
type Range struct {
	Key    string
	Prefix bool
}

// New returns an index of a store that is followed from its first revision on.
func New() *Index {
	return &Index{
		tables: map[string]int64{}, advanced: make(chan struct{}),
		waiting: map[Range]map[*Point]bool{}, lengths: map[int]int{},
	}
}

// Apply takes what changed in a revision.
func (x *Index) Apply(revision int64, changes []Change) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, c := range changes {
		table, rest, _ := strings.Cut(c.Key, "/")
		x.tables[table] = revision
		if c.Deleted {
			x.deletions.add(table+"/"+rest, revision)
		}
		x.wake(c.Key)
	}
	x.deletions.bound(maxDirectories)
	x.revision = max(x.revision, revision)
	close(x.advanced)
	x.advanced = make(chan struct{})
}

// wake wakes those who wait for a key.
func (x *Index) wake(key string) {
	for p := range x.waiting[Range{Key: key}] {
		p.wake()
	}
	for length := range x.lengths {
		if length > len(key) {
			continue
		}
		for p := range x.waiting[Range{key[:length], true}] {
			p.wake()
		}
	}
}

// Forget says that what happened up to a revision is not known, and wakes everybody.
func (x *Index) Forget(floor int64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.floor = max(x.floor, floor)
	for _, points := range x.waiting {
		for p := range points {
			p.wake()
		}
	}
}

// Table returns the index of a whole table, at least 1: real data begins with 2.
func (x *Index) Table(name string) int64 {
	x.mu.Lock()
	defer x.mu.Unlock()
	return max(x.tables[name], x.floor, 1)
}

// Prefix returns the index of the keys that begin with a prefix, of which newest is the newest change that shows.
func (x *Index) Prefix(prefix string, newest int64) int64 {
	x.mu.Lock()
	defer x.mu.Unlock()
	newest = max(newest, x.deletions.newestBelow(prefix))
	if newest > 0 {
		return max(newest, x.floor)
	}
	table, _, _ := strings.Cut(prefix, "/")
	return max(x.tables[table], x.floor, 1)
}

// Deleted returns when a key that begins with a prefix was deleted last, 0 if none was.
func (x *Index) Deleted(prefix string) int64 {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.deletions.newestBelow(prefix)
}

// Reach returns when a revision was applied, or the context ends.
func (x *Index) Reach(ctx context.Context, revision int64) error {
	for {
		x.mu.Lock()
		reached, advanced := x.revision >= revision, x.advanced
		x.mu.Unlock()
		if reached {
			return nil
		}
		select {
		case <-advanced:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Point is where requests wait that ask for the same.
type Point struct {
	index   *Index
	ranges  []Range
	changed chan struct{} // closed at a change, and replaced
}

func (p *Point) wake() {
	close(p.changed)
	p.changed = make(chan struct{})
}

// Join returns a point that is woken by changes in ranges. Each Join wants a Leave.
func (x *Index) Join(ranges ...Range) *Point {
	x.mu.Lock()
	defer x.mu.Unlock()
	p := &Point{index: x, ranges: ranges, changed: make(chan struct{})}
	for _, r := range ranges {
		points := x.waiting[r]
		if points == nil {
			points = map[*Point]bool{}
			x.waiting[r] = points
			if r.Prefix {
				x.lengths[len(r.Key)]++
			}
		}
		points[p] = true
	}
	return p
}

// Changed returns what is closed at the next change. Who takes it before reading misses none.
func (p *Point) Changed() <-chan struct{} {
	p.index.mu.Lock()
	defer p.index.mu.Unlock()
	return p.changed
}

// Leave takes back a Join.
func (p *Point) Leave() {
	x := p.index
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, r := range p.ranges {
		delete(x.waiting[r], p)
		if len(x.waiting[r]) > 0 {
			continue
		}
		delete(x.waiting, r)
		if r.Prefix {
			x.lengths[len(r.Key)]--
		}
		if x.lengths[len(r.Key)] == 0 {
			delete(x.lengths, len(r.Key))
		}
	}
}
