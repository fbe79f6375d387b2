package poll

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/divisi-go/divisi/store/internal/consul/index"
)

// imagined is a server without a store, whose only key is one number.
type imagined struct {
	*Poll
	revision atomic.Int64 // of the key
	absent   atomic.Bool
	reads    atomic.Int64
	slow     func() // called between reading and answering
}

func imagine() *imagined {
	i := &imagined{Poll: New(index.New()), slow: func() {}}
	i.revision.Store(5)
	return i
}

func (i *imagined) question() Question {
	return Question{Name: "k", Ranges: []index.Range{{Key: "kv/k"}}, Read: func(context.Context) (*Answer, error) {
		a := &Answer{Index: i.revision.Load(), Absent: i.absent.Load()}
		i.reads.Add(1)
		i.slow()
		return a, nil
	}}
}

// change changes the key.
func (i *imagined) change() {
	revision := i.revision.Add(1)
	i.index.Apply(revision, []index.Change{{Key: "kv/k"}})
}

// ask asks for what is newer than an index, and returns the answer, and how long it took.
func (i *imagined) ask(t *testing.T, ctx context.Context, after int64, wait time.Duration) (*Answer, time.Duration) {
	t.Helper()
	begun := time.Now()
	a, _, err := i.Ask(ctx, i.question(), after, wait)
	if err != nil && ctx.Err() == nil {
		t.Error(err)
	}
	return a, time.Since(begun)
}

// TestWait: a wait is as long as it says, and up to a sixteenth more; what is newer is told at once.
func TestWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := imagine()
		for _, wait := range []time.Duration{1, time.Millisecond, 9 * time.Second, 10 * time.Minute} {
			a, took := i.ask(t, t.Context(), 5, wait)
			if a.Index != 5 || took < wait || took > wait+wait/16+1 {
				t.Errorf("a wait of %v ends after %v with %d", wait, took, a.Index)
			}
		}
		for _, after := range []int64{0, 1, 4} {
			if a, took := i.ask(t, t.Context(), after, time.Minute); a.Index != 5 || took != 0 {
				t.Errorf("index=%d is answered after %v with %d", after, took, a.Index)
			}
		}
		if a, took := i.ask(t, t.Context(), 1<<62, time.Second); a.Index != 5 || took < time.Second {
			t.Errorf("an index from the future is answered after %v with %d", took, a.Index)
		}
	})
}

// TestSpread: waits that begin together do not end together.
func TestSpread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := imagine()
		ends := make([]time.Duration, 2000)
		var asking sync.WaitGroup
		for n := range ends {
			asking.Go(func() { _, ends[n] = i.ask(t, t.Context(), 5, time.Second) })
		}
		asking.Wait()
		slices.Sort(ends)
		for n := range len(ends) / 2 {
			if ends[n+len(ends)/2]-ends[n] < 10*time.Millisecond {
				t.Fatalf("half of them end from %v to %v", ends[n], ends[n+len(ends)/2])
			}
		}
		if len(i.shares) != 0 {
			t.Errorf("left are %v", i.shares)
		}
	})
}

// TestLostWake: a change at any moment around a read is told, of which the reader has the old value or the new one.
func TestLostWake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := imagine()
		random := rand.New(rand.NewPCG(1, 1))
		for range 10_000 {
			after := i.revision.Load()
			when := random.IntN(3)
			i.slow = func() {
				if when == 0 {
					i.change()
					when = -1
				}
			}
			if when == 1 {
				go i.change()
			}
			if when == 2 {
				go func() {
					synctest.Wait()
					i.change()
				}()
			}
			a, took := i.ask(t, t.Context(), after, time.Minute)
			if a.Index <= after || took != 0 {
				t.Fatalf("a change at moment %d is told after %v with %d, and it was %d", when, took, a.Index, after)
			}
		}
	})
}

// TestAbsent: who waits for what is absent waits on while it is, even where its index has moved.
func TestAbsent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := imagine()
		i.absent.Store(true)
		go func() {
			for range 5 {
				time.Sleep(time.Second)
				i.change()
			}
			time.Sleep(time.Second)
			i.absent.Store(false)
			i.change()
		}()
		a, took := i.ask(t, t.Context(), 5, time.Minute)
		if a.Absent || took != 6*time.Second {
			t.Errorf("it is answered after %v: %+v", took, a)
		}
	})
}

// TestCrowd: a crowd that waits is told by few reads, one that hangs up is gone at once, and one whose server stops is
// answered at once.
func TestCrowd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := imagine()
		ctx, cancel := context.WithCancel(t.Context())
		crowd := func(ctx context.Context, then func()) {
			t.Helper()
			var asking sync.WaitGroup
			for range 10_000 {
				asking.Go(func() {
					_, took := i.ask(t, ctx, i.revision.Load(), time.Minute)
					if took != 0 {
						t.Errorf("it is told after %v", took)
					}
				})
			}
			synctest.Wait()
			i.reads.Store(0)
			then()
			asking.Wait()
			if len(i.shares) != 0 {
				t.Errorf("left are %v", i.shares)
			}
		}
		crowd(ctx, i.change)
		if reads := i.reads.Load(); reads > 10 {
			t.Errorf("10,000 have read %d times", reads)
		}
		crowd(ctx, cancel)
		crowd(t.Context(), func() { i.Stop() })
	})
}
