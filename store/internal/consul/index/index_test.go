package index

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

func woken(p *Point, before <-chan struct{}) bool {
	select {
	case <-before:
		return true
	default:
		return false
	}
}

// TestWake: a change wakes those who wait for its key, or for what the key begins with, and nobody else.
func TestWake(t *testing.T) {
	x := New()
	ranges := map[string]Range{
		"key": {Key: "kv/a/b"}, "other key": {Key: "kv/a"}, "prefix": {"kv/a", true}, "all": {"", true},
		"whole": {"kv/a/b", true}, "other prefix": {"kv/a/c", true}, "longer": {"kv/a/b/c", true},
	}
	points, before := map[string]*Point{}, map[string]<-chan struct{}{}
	for name, r := range ranges {
		points[name] = x.Join(r)
		before[name] = points[name].Changed()
	}
	x.Apply(2, []Change{{Key: "kv/a/b"}})
	var got []string
	for name, p := range points {
		if woken(p, before[name]) {
			got = append(got, name)
		}
	}
	slices.Sort(got)
	if want := []string{"all", "key", "prefix", "whole"}; !slices.Equal(got, want) {
		t.Errorf("woken are %v and not %v", got, want)
	}

	for _, p := range points {
		p.Leave()
	}
	if len(x.waiting) != 0 || len(x.lengths) != 0 {
		t.Errorf("left are %v and %v", x.waiting, x.lengths)
	}
}

// dumb is what the index says, from all changes there were.
type dumb struct{ changes []change }

type change struct {
	Change
	revision int64
}

func (d *dumb) prefix(prefix string, deleted func(string) bool) int64 {
	newest := int64(0)
	for _, c := range d.changes {
		if c.Deleted && deleted(c.Key) {
			newest = c.revision
		}
	}
	return newest
}

// TestDeleted: the newest deletion below a prefix is never too low, exact where the prefix ends with a directory, and never
// falls, also where old ones are folded.
func TestDeleted(t *testing.T) {
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 0))
		x, twin := New(), &dumb{}
		key := func() string {
			parts := make([]string, 1+r.IntN(3))
			for i := range parts {
				parts[i] = fmt.Sprintf("%c%c", 'a'+rune(r.IntN(3)), 'a'+rune(r.IntN(3)))
			}
			return "kv/" + strings.Join(parts, "/")
		}
		seen := map[string]int64{}
		folded := false
		for revision := int64(2); revision < 300; revision++ {
			c := Change{Key: key(), Deleted: r.IntN(2) == 0}
			x.Apply(revision, []Change{c})
			twin.changes = append(twin.changes, change{c, revision})
			if r.IntN(40) == 0 && seed%2 == 0 {
				folded = true
				x.deletions.bound(3)
			}

			k := key()
			prefix := k[:3+r.IntN(len(k)-2)]
			got := x.Deleted(prefix)
			least := twin.prefix(prefix, func(key string) bool { return strings.HasPrefix(key, prefix) })
			if got < least || got < seen[prefix] {
				t.Fatalf("seed %d: %q has %d, and not %d at least, after %d", seed, prefix, got, least, seen[prefix])
			}
			if strings.HasSuffix(prefix, "/") && !folded && got != least {
				t.Fatalf("seed %d: %q has %d, and not %d", seed, prefix, got, least)
			}
			seen[prefix] = got
		}
	}
}

// TestBound: however many directories there are, few are known, and what is forgotten counts for all above and below.
func TestBound(t *testing.T) {
	x := New()
	for i := range int64(3 * maxDirectories) {
		x.Apply(i+2, []Change{{Key: fmt.Sprintf("kv/d/%d/k", i), Deleted: true}})
	}
	if known := x.deletions.size(); known > maxDirectories || known != x.deletions.known {
		t.Errorf("%d directories are known, and %d are counted", known, x.deletions.known)
	}
	newest := int64(3*maxDirectories + 1)
	if got := x.Deleted("kv/d/299999/"); got != newest {
		t.Errorf("the newest has %d", got)
	}
	if got := x.Deleted("kv/d/0/"); got < 2 || got > newest/2+maxDirectories {
		t.Errorf("the oldest has %d", got)
	}
	if got := x.Deleted("kv/e/"); got != 0 {
		t.Errorf("another has %d", got)
	}
}

// TestFloor: what is not known counts as changed, and no index is 0.
func TestFloor(t *testing.T) {
	x := New()
	if got := x.Table("kv"); got != 1 {
		t.Errorf("an empty store has %d", got)
	}
	p := x.Join(Range{Key: "kv/a"})
	before := p.Changed()
	x.Forget(7)
	if !woken(p, before) {
		t.Error("nobody is woken")
	}
	for _, got := range []int64{x.Table("kv"), x.Prefix("kv/a", 0), x.Prefix("kv/a", 3)} {
		if got != 7 {
			t.Errorf("it has %d", got)
		}
	}
	x.Apply(9, []Change{{Key: "kv/b"}})
	if got := x.Prefix("kv/a", 0); got != 9 {
		t.Errorf("nothing has %d, and not that of the table", got)
	}
}
