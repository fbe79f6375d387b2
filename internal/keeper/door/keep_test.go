//go:build linux

package door

import "testing"

func TestSmoke(t *testing.T) {
	h := newHome(t)
	c := attach(t, h, shop("one"))
	p, err := c.Start(t.Context(), shell("a", "exit 7"))
	if err != nil {
		t.Fatal(err)
	}
	exit, err := c.Wait(t.Context(), p.ID)
	t.Log(exit, err)
	t.Log(c.List(t.Context(), ""))
	t.Log(c.Exits(t.Context(), "", 0))
}
