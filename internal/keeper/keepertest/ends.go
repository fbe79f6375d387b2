//go:build unix

package keepertest

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/keeper/keepertest/desk"
)

// heritageEnds: what servers inherit that say so is closed with the last of them, when nobody has the
// domain any more.
func heritageEnds(t *testing.T, d *desk.Desk) {
	own := func() Session { return d.Join(t, keeper.Claim{Domain: "/ends", Who: "the test"}) }
	kept := func() bool {
		t.Helper()
		s := own()
		list, err := s.Sockets(d.Ctx, "/ends")
		if err != nil {
			t.Fatal(err)
		}
		f, err := s.Get(d.Ctx, "/ends", "key")
		if err == nil {
			f.Close()
		} else if !errors.Is(err, keeper.ErrUnknown) {
			t.Fatal(err)
		}
		if (len(list) > 0) != (err == nil) {
			t.Errorf("sockets %v, but the slot: %v", list, err)
		}
		return errors.Join(err, s.Release()) == nil
	}

	s := own()
	_, err := s.Listen(d.Ctx, keeper.Socket{Domain: "/ends", Key: "web", Network: "tcp", Address: "127.0.0.1:0"})
	path := filepath.Join(t.TempDir(), "secret")
	if err := errors.Join(err, os.WriteFile(path, []byte("secret"), 0o600)); err != nil {
		t.Fatal(err)
	}
	secret, err := os.Open(path)
	if err == nil {
		err = s.Put(d.Ctx, "/ends", "key", secret)
	}
	if err != nil {
		t.Fatal(err)
	}

	spec := desk.Shell("a", "exec sleep 60")
	spec.Domain, spec.Ends, spec.Beside = "/ends", true, true
	spec.Sockets, spec.Secrets = []keeper.Inherit{{Key: "web"}}, []keeper.Inherit{{Key: "key", As: "KEY"}}
	for _, want := range []bool{true, false} { // after the end of the first, and of the second
		p, err := s.Start(d.Ctx, spec)
		if err == nil && want {
			_, err = s.Start(d.Ctx, spec)
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Stop(d.Ctx, p.ID); err != nil {
			t.Fatal(err)
		}
		if !want {
			if _, err := s.Stop(d.Ctx, spec.ID()); err != nil {
				t.Fatal(err)
			}
			if list, err := s.Sockets(d.Ctx, "/ends"); err != nil || len(list) == 0 {
				t.Errorf("while somebody has the domain: %v, %v", list, err)
			}
		}
		if err := s.Release(); err != nil {
			t.Fatal(err)
		}
		if got := kept(); got != want {
			t.Errorf("kept: %v, want %v", got, want)
		}
		s = own()
	}
}

// specification: a keeper says how a server was asked for.
func specification(t *testing.T, d *desk.Desk) {
	spec := desk.Shell("a", "exec sleep 60")
	spec.Labels = map[string]string{"ready": "notify"}
	d.Begin(t, spec)

	got, err := d.Spec(d.Ctx, spec.ID())
	if err != nil || got.Path != spec.Path || !slices.Equal(got.Args, spec.Args) || !slices.Equal(got.Env, spec.Env) ||
		got.Labels["ready"] != "notify" {
		t.Errorf("%+v, %v; want %+v", got, err, spec)
	}
	if got, err := d.Spec(d.Ctx, keeper.ID{Domain: domain, Name: "nobody"}); !errors.Is(err, keeper.ErrUnknown) {
		t.Errorf("of nobody: %+v, %v", got, err)
	}
}
