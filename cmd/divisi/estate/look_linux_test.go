package estate

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/divisi-go/divisi/internal/home"
	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/keeper/door"
	"github.com/divisi-go/divisi/internal/launch"
)

func TestMain(m *testing.M) {
	door.Enter()
	os.Exit(m.Run())
}

// TestLook: a deployer opens its door after the doors were asked, and before the keeper is. Its application is
// found nevertheless, once.
func TestLook(t *testing.T) {
	dir, err := os.MkdirTemp("", "look") // paths of sockets are short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	t.Setenv("XDG_RUNTIME_DIR", dir)
	h, err := home.At(filepath.Join(dir, "home"))
	if err != nil {
		t.Fatal(err)
	}
	k, err := door.Attach(t.Context(), h, keeper.Claim{Domain: "/shop", Who: "the test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := k.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
	_, err = k.Start(t.Context(), keeper.Spec{
		Domain: "/shop", Name: "main-0", Path: "/bin/sh", Args: []string{"-c", "exec sleep 1000"},
		Labels: map[string]string{launch.LabelApp: "shop", launch.LabelVersion: "one", launch.LabelGroup: "main", launch.LabelReplica: "0"},
	})
	if err != nil {
		t.Fatal(err)
	}
	d := h.Domain("/shop")
	if err := d.Make(); err != nil {
		t.Fatal(err)
	}

	find := func(say func(doors []string) ([]string, error)) []string {
		t.Helper()
		found, err := look(t.Context(), h, func(app string) string { return app }, say,
			func(u Application) []string { return []string{u.Status.App} })
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	nothing := func([]string) ([]string, error) { return nil, nil }
	if found := find(nothing); !slices.Equal(found, []string{"shop"}) {
		t.Errorf("while nobody decides, %q are found", found)
	}

	asked := 0
	found := find(func(doors []string) ([]string, error) {
		asked++
		if len(doors) == 1 {
			return []string{"shop"}, nil
		}
		l, err := net.Listen("unix", d.Door)
		if err == nil {
			t.Cleanup(func() { l.Close() })
		}
		return nil, err
	})
	if !slices.Equal(found, []string{"shop"}) || asked != 2 {
		t.Errorf("when a deployer has come meanwhile, %q are found by %d looks", found, asked)
	}
	if found := find(nothing); len(found) != 0 {
		t.Errorf("of a deployer that does not know its application, %q are found", found)
	}
}
