package shard

import "testing"

type key struct {
	user string
	age  int8
	rate float32
}

// TestOf: the shard of a key is the same in all processes, whatever their version, and depends on all of it.
func TestOf(t *testing.T) {
	for _, test := range []struct {
		key  any
		want uint64
	}{
		{"a", 0xf9f2eff042fb3ba7},
		{struct{ name string }{"a"}, 0xf9f2eff042fb3ba7},
		{key{"a", -1, 2}, 0x78dbe2865d760027},
	} {
		if got := Of(test.key); got != test.want {
			t.Errorf("the shard of %v is %#x, not %#x", test.key, got, test.want)
		}
	}
	for _, other := range []key{{"b", -1, 2}, {"a", 2, 2}, {"a", -1, 3}} {
		if Of(other) == Of(key{"a", -1, 2}) {
			t.Errorf("the shard of %v does not depend on all fields", other)
		}
	}
}
