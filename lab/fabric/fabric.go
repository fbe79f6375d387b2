// Package fabric decides what a switch does with the frames between the hosts of a lab: which frame goes to whom, when,
// and which one is lost. It has no clock, no goroutine and no device; the time is given to it.
package fabric

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"time"
)

// MaxHosts is how many hosts a fabric joins at most: a host's number is one byte of its addresses.
const MaxHosts = 200

// MaxWaiting is how many frames wait on one way at most. Frames beyond that are lost, as in a switch whose memory
// is full.
const MaxWaiting = 4096

// Quality is how well one way, from one host to another, carries frames. The zero value carries all, at once.
type Quality struct {
	Cut       bool          `json:"cut,omitempty"`
	Delay     time.Duration `json:"delay,omitempty"`
	Loss      float64       `json:"loss,omitempty"`      // the share of frames that is lost, from 0 to 1
	Duplicate float64       `json:"duplicate,omitempty"` // the share of frames that arrives twice, from 0 to 1
}

// Change is what is to be another from now on; what is nil stays.
type Change struct {
	Cut       *bool          `json:"cut,omitempty"`
	Delay     *time.Duration `json:"delay,omitempty"`
	Loss      *float64       `json:"loss,omitempty"`
	Duplicate *float64       `json:"duplicate,omitempty"`
}

// maxDelay is longer than any connection waits.
const maxDelay = time.Hour

// Check says what of the change cannot be.
func (c Change) Check() error {
	if c.Delay != nil && (*c.Delay < 0 || *c.Delay > maxDelay) {
		return fmt.Errorf("a delay of %v cannot be: give one from 0s to %v", *c.Delay, maxDelay)
	}
	if c.Loss != nil && !isShare(*c.Loss) {
		return fmt.Errorf("a loss of %v %% cannot be: give one from 0 %% to 100 %%", *c.Loss*100)
	}
	if c.Duplicate != nil && !isShare(*c.Duplicate) {
		return fmt.Errorf("a duplication of %v %% cannot be: give one from 0 %% to 100 %%", *c.Duplicate*100)
	}
	return nil
}

func isShare(x float64) bool { return x >= 0 && x <= 1 } // which no NaN is

// apply returns the quality after the change.
func (c Change) apply(q Quality) Quality {
	if c.Cut != nil {
		q.Cut = *c.Cut
	}
	if c.Delay != nil {
		q.Delay = *c.Delay
	}
	if c.Loss != nil {
		q.Loss = *c.Loss
	}
	if c.Duplicate != nil {
		q.Duplicate = *c.Duplicate
	}
	return q
}

// Cut is the change after which a way carries nothing.
func Cut() Change { return Change{Cut: new(true)} }

// Heal is the change that makes a way as good as new.
func Heal() Change {
	return Change{Cut: new(false), Delay: new(time.Duration(0)), Loss: new(0.0), Duplicate: new(0.0)}
}

// Count is what has become of the frames of one way.
type Count struct {
	Frames  uint64 `json:"frames"`  // that were to go it
	Bytes   uint64 `json:"bytes"`   // in them
	Lost    uint64 `json:"lost"`    // because it is cut, by chance, or because too many wait
	Doubled uint64 `json:"doubled"` // that arrive twice
}

// Way is one direction between two hosts.
type Way struct {
	From int `json:"from"`
	To   int `json:"to"`
	Quality
	Count
}

// Delivery is a frame that arrives.
type Delivery struct {
	To    int
	Frame []byte
}

// Fabric joins hosts, which have the numbers from 0 on. Its invariants:
//
//   - frames of one way arrive in the order in which they were sent, whatever is changed meanwhile;
//   - nothing is between two hosts that have no link, and nobody can change that;
//   - with the same seed, the same frames get the same lots.
type Fabric struct {
	ways   map[[2]int]*way
	hosts  int
	random *rand.Rand
	queue  queue
	order  uint64
}

type way struct {
	Way
	last    time.Time // when the last frame arrives that waits
	waiting int
}

// New returns a fabric that links all hosts with each other, or, as a chain, each with the one before and the one
// after it.
func New(hosts int, chain bool, seed uint64) *Fabric {
	f := &Fabric{ways: map[[2]int]*way{}, hosts: hosts, random: rand.New(rand.NewPCG(seed, seed))}
	for from := range hosts {
		for to := range hosts {
			next := from-to == 1 || to-from == 1
			if from != to && (!chain || next) {
				f.ways[[2]int{from, to}] = &way{Way: Way{From: from, To: to}}
			}
		}
	}
	return f
}

// Linked reports whether two hosts have a link.
func (f *Fabric) Linked(from, to int) bool { return f.ways[[2]int{from, to}] != nil }

// Change changes the way between two hosts that have a link. The change must be one that can be.
func (f *Fabric) Change(from, to int, c Change) {
	w := f.ways[[2]int{from, to}]
	w.Quality = c.apply(w.Quality)
}

// Ways returns all ways, in the order of their hosts.
func (f *Fabric) Ways() []Way {
	var list []Way
	for from := range f.hosts {
		for to := range f.hosts {
			if w := f.ways[[2]int{from, to}]; w != nil {
				list = append(list, w.Way)
			}
		}
	}
	return list
}

// Forget drops what waits for a host, or was sent by it: it has no power any more.
func (f *Fabric) Forget(host int) {
	kept := f.queue[:0]
	for _, w := range f.queue {
		if w.to == host || w.from == host {
			f.ways[[2]int{w.from, w.to}].waiting--
			continue
		}
		kept = append(kept, w)
	}
	clear(f.queue[len(kept):])
	f.queue = kept
	heap.Init(&f.queue)
}

// Carry takes a frame that a host sends. The fabric keeps it until [Fabric.Due] returns it.
func (f *Fabric) Carry(now time.Time, from int, frame []byte) {
	const header = 14
	if len(frame) < header {
		return
	}

	if to, known := hostOf([6]byte(frame[:6])); known {
		f.carry(now, from, to, frame)
		return
	}
	if isGroup := frame[0]&1 != 0; isGroup {
		for to := range f.hosts {
			f.carry(now, from, to, frame)
		}
	}
}

func (f *Fabric) carry(now time.Time, from, to int, frame []byte) {
	w := f.ways[[2]int{from, to}]
	if w == nil {
		return
	}

	w.Frames++
	w.Bytes += uint64(len(frame))
	copies := 1
	if f.chance(w.Duplicate) {
		copies = 2
	}
	if w.Cut || f.chance(w.Loss) || w.waiting+copies > MaxWaiting {
		w.Lost++
		return
	}
	if copies == 2 {
		w.Doubled++
	}

	at := now.Add(w.Delay)
	if at.Before(w.last) {
		at = w.last
	}
	w.last = at
	for range copies {
		w.waiting++
		f.order++
		heap.Push(&f.queue, waiting{at: at, order: f.order, from: from, to: to, frame: frame})
	}
}

// chance draws a lot, unless the answer is certain.
func (f *Fabric) chance(share float64) bool {
	return share > 0 && (share >= 1 || f.random.Float64() < share)
}

// Due returns what arrives now. A way that was cut meanwhile still has what was on it.
func (f *Fabric) Due(now time.Time) []Delivery {
	var list []Delivery
	for len(f.queue) > 0 && !f.queue[0].at.After(now) {
		w := heap.Pop(&f.queue).(waiting)
		f.ways[[2]int{w.from, w.to}].waiting--
		list = append(list, Delivery{To: w.to, Frame: w.frame})
	}
	return list
}

// Next returns when something arrives next.
func (f *Fabric) Next() (at time.Time, some bool) {
	if len(f.queue) == 0 {
		return time.Time{}, false
	}
	return f.queue[0].at, true
}

// prefix begins the hardware addresses of hosts: the first byte says that no maker has given them.
var prefix = [5]byte{0x02, 0xd1, 0x51, 0x00, 0x00}

// Hardware returns the hardware address of a host.
func Hardware(host int) [6]byte { return [6]byte(append(prefix[:], byte(host+1))) }

// hostOf returns the host with a hardware address; whether there is one of that number, it does not know.
func hostOf(address [6]byte) (host int, known bool) {
	return int(address[5]) - 1, [5]byte(address[:5]) == prefix
}

// waiting is a frame on its way.
type waiting struct {
	at       time.Time
	order    uint64
	from, to int
	frame    []byte
}

// queue is a heap of what waits; what arrives first is its first.
type queue []waiting

var _ heap.Interface = (*queue)(nil)

func (q queue) Len() int      { return len(q) }
func (q queue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q queue) Less(i, j int) bool {
	if !q[i].at.Equal(q[j].at) {
		return q[i].at.Before(q[j].at)
	}
	return q[i].order < q[j].order
}
func (q *queue) Push(x any) { *q = append(*q, x.(waiting)) }
func (q *queue) Pop() any {
	last := len(*q) - 1
	w := (*q)[last]
	(*q)[last] = waiting{}
	*q = (*q)[:last]
	return w
}
