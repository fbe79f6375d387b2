package fabric

import (
	"math"
	"testing"
	"time"
)

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// frame returns a frame for a host, with a number in it.
func frame(to int, number byte) []byte {
	hardware := Hardware(to)
	return append(append(hardware[:], make([]byte, 8)...), number)
}

// arrivals returns which frames have arrived at a host until a time.
func arrivals(f *Fabric, to int, until time.Time) (numbers []byte) {
	for _, d := range f.Due(until) {
		if d.To == to {
			numbers = append(numbers, d.Frame[14])
		}
	}
	return numbers
}

func TestUnicastAndGroups(t *testing.T) {
	f := New(3, false, 1)
	f.Carry(start, 0, frame(2, 7))
	f.Carry(start, 0, append([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, make([]byte, 9)...))
	f.Carry(start, 0, frame(0, 1))                                      // to itself
	f.Carry(start, 0, frame(9, 1))                                      // to nobody
	f.Carry(start, 0, append([]byte{2, 2, 2, 2, 2, 2}, frame(1, 1)...)) // to a foreign address
	f.Carry(start, 0, []byte{1})                                        // no frame at all

	var to []int
	for _, d := range f.Due(start) {
		to = append(to, d.To)
	}
	if len(to) != 3 || to[0] != 2 || to[1] != 1 || to[2] != 2 {
		t.Errorf("frames arrive at %v, want 2 and then 1 and 2", to)
	}
}

// TestChain: the first and the third host of a chain have no link, which nothing can change.
func TestChain(t *testing.T) {
	f := New(5, true, 1)
	for from := range 5 {
		for to := range 5 {
			next := from-to == 1 || to-from == 1
			if f.Linked(from, to) != next {
				t.Errorf("%d and %d: linked is %v", from, to, !next)
			}
			f.Carry(start, from, frame(to, byte(from)))
		}
	}
	if got := len(f.Due(start)); got != 8 {
		t.Errorf("%d frames arrive, want 8", got)
	}
	if got := len(f.Ways()); got != 8 {
		t.Errorf("%d ways, want 8", got)
	}
}

func TestDelay(t *testing.T) {
	f := New(2, false, 1)
	f.Change(0, 1, Change{Delay: new(50 * time.Millisecond)})
	f.Carry(start, 0, frame(1, 1))
	f.Carry(start, 1, frame(0, 2))
	if got := arrivals(f, 0, start); len(got) != 1 {
		t.Errorf("%v arrive without a delay, want one frame", got)
	}
	if next, some := f.Next(); !some || next.Sub(start) != 50*time.Millisecond {
		t.Errorf("next is after %v, %v", next.Sub(start), some)
	}

	// The second frame is not faster than the first.
	f.Change(0, 1, Change{Delay: new(time.Duration(0))})
	f.Carry(start.Add(time.Millisecond), 0, frame(1, 3))
	if got := arrivals(f, 1, start.Add(49*time.Millisecond)); len(got) != 0 {
		t.Errorf("%v arrive too early", got)
	}
	if got := arrivals(f, 1, start.Add(50*time.Millisecond)); string(got) != "\x01\x03" {
		t.Errorf("%v arrive, want 1 and 3", got)
	}
}

func TestCutAndHeal(t *testing.T) {
	f := New(2, false, 1)
	f.Change(0, 1, Change{Cut: new(true), Delay: new(time.Second)})
	f.Carry(start, 0, frame(1, 1))
	f.Carry(start, 1, frame(0, 2))
	if got := f.Due(start.Add(time.Hour)); len(got) != 1 || got[0].To != 0 {
		t.Errorf("%v arrives, want one frame at 0", got)
	}

	f.Change(0, 1, Heal())
	f.Carry(start, 0, frame(1, 1))
	if got := f.Due(start); len(got) != 1 {
		t.Errorf("%v arrives when healed", got)
	}
	if got := f.Ways()[0]; got.Frames != 2 || got.Lost != 1 || got.Quality != (Quality{}) {
		t.Errorf("%+v, want two frames and one lost", got)
	}
}

// TestShares: what is lost and doubled is what was asked for, within a fifth, and the same with the same seed.
func TestShares(t *testing.T) {
	const frames = 5000
	run := func(c Change) (Count, int) {
		f := New(2, false, 42)
		f.Change(0, 1, c)
		arrived := 0
		for i := range frames {
			now := start.Add(time.Duration(i) * time.Millisecond)
			f.Carry(now, 0, frame(1, 0))
			arrived += len(f.Due(now))
		}
		return f.Ways()[0].Count, arrived
	}

	for _, share := range []float64{0.05, 0.3, 0.9, 1} {
		lost, arrived := run(Change{Loss: &share})
		if got := float64(lost.Lost) / frames; math.Abs(got-share) > share/5 || arrived != frames-int(lost.Lost) {
			t.Errorf("loss %v: %v lost, %d of %d arrive", share, got, arrived, frames)
		}
		doubled, arrived := run(Change{Duplicate: &share})
		if got := float64(doubled.Doubled) / frames; math.Abs(got-share) > share/5 || arrived != frames+int(doubled.Doubled) {
			t.Errorf("duplication %v: %v doubled, %d arrive", share, got, arrived)
		}
		if again, _ := run(Change{Loss: &share}); again != lost {
			t.Errorf("loss %v: %+v and %+v with one seed", share, lost, again)
		}
	}
}

// TestBounds: a way that delays holds no more than it may, and a host without power gets nothing.
func TestBounds(t *testing.T) {
	f := New(3, false, 1)
	f.Change(0, 1, Change{Delay: new(time.Minute)})
	for range MaxWaiting + 10 {
		f.Carry(start, 0, frame(1, 1))
	}
	if got := f.Ways()[0]; got.Lost != 10 {
		t.Errorf("%+v, want 10 lost", got)
	}

	f.Carry(start, 0, frame(2, 1))
	f.Forget(1)
	if got := f.Due(start.Add(time.Hour)); len(got) != 1 || got[0].To != 2 {
		t.Errorf("%d frames arrive, want the one to 2", len(got))
	}
	f.Carry(start, 0, frame(1, 1))
	if got := f.Ways()[0]; got.Lost != 10 {
		t.Errorf("%+v after it was emptied, want 10 lost", got)
	}
}

func TestCheck(t *testing.T) {
	for _, c := range []Change{
		{Delay: new(-time.Second)}, {Delay: new(2 * time.Hour)}, {Loss: new(1.4)}, {Loss: new(-0.1)}, {Loss: new(math.NaN())},
		{Duplicate: new(2.0)},
	} {
		if c.Check() == nil {
			t.Errorf("%+v passes", c)
		}
	}
	if err := Heal().Check(); err != nil {
		t.Error(err)
	}
}
