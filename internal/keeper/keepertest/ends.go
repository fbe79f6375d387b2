//go:build unix

package keepertest

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/divisi-go/divisi/internal/keeper"
)

// heritageEnds: what servers inherit that say so is closed with the last of them.
func heritageEnds(t *testing.T, d *desk) {
	socket := keeper.Socket{Domain: domain, Key: "web", Network: "tcp", Address: "127.0.0.1:0"}
	if _, err := d.Listen(d.ctx, socket); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	secret, err := os.Open(path)
	if err == nil {
		err = d.Put(d.ctx, domain, "key", secret)
	}
	if err != nil {
		t.Fatal(err)
	}

	spec := shell("a", "exec sleep 60")
	spec.Sockets, spec.Secrets, spec.Ends = []keeper.Inherit{{Key: "web"}}, []keeper.Inherit{{Key: "key", As: "KEY"}}, true
	first := d.start(t, spec)
	spec.Beside = true
	second := d.start(t, spec)
	kept := func() bool {
		list, err := d.Sockets(d.ctx, domain)
		if err != nil {
			t.Fatal(err)
		}
		f, err := d.Get(d.ctx, domain, "key")
		if err == nil {
			f.Close()
		} else if !errors.Is(err, keeper.ErrUnknown) {
			t.Fatal(err)
		}
		if (len(list) > 0) != (err == nil) {
			t.Errorf("sockets %v, but the slot: %v", list, err)
		}
		return len(list) > 0
	}

	for _, c := range []struct {
		id   keeper.ID
		want bool
	}{{first.ID, true}, {second.ID, false}} {
		if _, err := d.Stop(d.ctx, c.id); err != nil {
			t.Fatal(err)
		}
		if got := kept(); got != c.want {
			t.Errorf("after the end of %v it is kept: %v, want %v", c.id, got, c.want)
		}
	}
}

// specification: a keeper says how a server was asked for.
func specification(t *testing.T, d *desk) {
	spec := shell("a", "exec sleep 60")
	spec.Labels = map[string]string{"ready": "notify"}
	d.start(t, spec)

	got, err := d.Spec(d.ctx, spec.ID())
	if err != nil || got.Path != spec.Path || !slices.Equal(got.Args, spec.Args) || !slices.Equal(got.Env, spec.Env) ||
		got.Labels["ready"] != "notify" {
		t.Errorf("%+v, %v; want %+v", got, err, spec)
	}
	if got, err := d.Spec(d.ctx, keeper.ID{Domain: domain, Name: "nobody"}); !errors.Is(err, keeper.ErrUnknown) {
		t.Errorf("of nobody: %+v, %v", got, err)
	}
}
