package discovertest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/divisi-go/divisi/discover"
)

// Store is where the data of a source comes from. Put sets the value under the key that the source follows, and
// Delete removes it.
type Store interface {
	Put(value string) error
	Delete() error
}

// Conform tests a source of one key against what [discover.Source] promises. The store has nothing under the key
// at first. The test takes as long as the source lets a request wait, so sources that can run in a bubble of
// synctest do.
func Conform(t *testing.T, source discover.Source, store Store) {
	t.Helper()
	c := conformance{t, source, store}

	absent := c.get("there is nothing", "")
	c.has(absent)

	c.must(store.Put("one"))
	one := c.get("a value was put", absent.Version)
	c.has(one, "one")
	c.has(c.get("the first question again", ""), "one")

	c.wakes("another value is put", &one, func() error { return store.Put("two") }, "two")
	c.wakes("the key is deleted", &one, store.Delete)
	c.wakes("the key is put again", &one, func() error { return store.Put("two") }, "two")
	c.must(store.Put("three"))
	c.must(store.Put("four"))
	last := c.get("two values were put", one.Version)
	if string(last.Entries[0].Value) == "three" {
		last = c.get("the last of two values was put", last.Version)
	}
	c.has(last, "four")

	c.waits(last)
	c.ends(last)
}

// conformance is a run of Conform.
type conformance struct {
	t      *testing.T
	source discover.Source
	store  Store
}

func (c conformance) must(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatalf("the store: %v", err)
	}
}

// get asks the source.
func (c conformance) get(what string, after discover.Version) discover.Data {
	c.t.Helper()
	data, err := c.source.Get(c.t.Context(), after)
	if err != nil {
		c.t.Fatalf("%s: %v", what, err)
	}
	if data.Version == "" {
		c.t.Fatalf("%s: the data has no version", what)
	}
	if data.Version == after {
		c.t.Fatalf("%s: the data has the version that was there before", what)
	}
	return data
}

// has checks the values of some data.
func (c conformance) has(data discover.Data, values ...string) {
	c.t.Helper()
	if len(data.Entries) != len(values) {
		c.t.Fatalf("there are %d entries, and should be %d", len(data.Entries), len(values))
	}
	for i, want := range values {
		if got := string(data.Entries[i].Value); got != want {
			c.t.Fatalf("the value is %q, and should be %q", got, want)
		}
	}
}

// wakes checks that a request that waits returns at a change, and moves on to the data it returns.
func (c conformance) wakes(what string, last *discover.Data, change func() error, values ...string) {
	c.t.Helper()
	changed := make(chan error, 1)
	timer := time.AfterFunc(100*time.Millisecond, func() { changed <- change() })
	defer timer.Stop()

	before := time.Now()
	*last = c.get(what, last.Version)
	c.must(<-changed)
	c.has(*last, values...)
	if took := time.Since(before); took > 10*time.Second {
		c.t.Fatalf("%s: that was seen after %v", what, took)
	}
}

// waits checks that a request ends with the same version when nothing has changed for a while.
func (c conformance) waits(last discover.Data) {
	c.t.Helper()
	before := time.Now()
	data, err := c.source.Get(c.t.Context(), last.Version)
	took := time.Since(before)
	switch {
	case err != nil:
		c.t.Fatalf("nothing has changed: %v", err)
	case data.Version != last.Version:
		c.t.Fatalf("nothing has changed: the version is %s in place of %s", data.Version, last.Version)
	case took < time.Second || took > 5*time.Minute:
		c.t.Fatalf("nothing has changed: the answer came after %v", took)
	}
}

// ends checks that a request ends when its context does.
func (c conformance) ends(last discover.Data) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), 100*time.Millisecond)
	defer cancel()
	before := time.Now()
	_, err := c.source.Get(ctx, last.Version)
	if !errors.Is(err, context.DeadlineExceeded) {
		c.t.Fatalf("the context has ended: the error is %v", err)
	}
	if took := time.Since(before); took > 5*time.Second {
		c.t.Fatalf("the context has ended: the request took %v", took)
	}
}
