//go:build linux

package run

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/divisi-go/divisi/internal/artifact"
	"github.com/divisi-go/divisi/internal/home"
	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/keeper/door"
	"github.com/divisi-go/divisi/internal/lifecycle"
	"github.com/divisi-go/divisi/internal/roster"
)

func TestMain(m *testing.M) {
	door.Enter()
	os.Exit(m.Run())
}

// warnings is a view that keeps them.
type warnings struct {
	View
	texts []string
}

func (w *warnings) Warn(text string) { w.texts = append(w.texts, text) }

// stateFolder returns a home whose keeper has ended when the test has.
func stateFolder(t *testing.T) home.Home {
	t.Helper()
	runtime, err := os.MkdirTemp("/tmp", "run") // paths of sockets are short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(runtime) })
	t.Setenv("XDG_RUNTIME_DIR", runtime)
	where, err := home.At(filepath.Join(t.TempDir(), "state"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		k, err := door.Attach(context.Background(), where, keeper.Claim{})
		if err != nil {
			t.Fatal(err)
		}
		if err := k.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return where
}

// oldPrograms keeps programs that end at once, and that nobody uses: the oldest ones first.
func oldPrograms(t *testing.T, programs *artifact.Store, n int) (paths []string) {
	t.Helper()
	for i := range n {
		file := filepath.Join(t.TempDir(), "hello")
		if err := os.WriteFile(file, fmt.Appendf(nil, "#!/bin/sh\nexit %d\n", i), 0o700); err != nil {
			t.Fatal(err)
		}
		p, err := programs.Copy(file)
		if err != nil {
			t.Fatal(err)
		}
		p.Release()
		at := time.Now().Add(time.Duration(i-n) * time.Hour)
		if err := os.Chtimes(filepath.Dir(p.Path), at, at); err != nil {
			t.Fatal(err)
		}
		paths = append(paths, p.Path)
	}
	return paths
}

// record has a version of a domain say what it runs, and nothing else.
func record(t *testing.T, where home.Home, domain, binary string) *roster.Roster {
	t.Helper()
	r, err := roster.Open(where.Domain(domain).Versions)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Write("v1", map[string]string{"binary": binary}); err != nil {
		t.Fatal(err)
	}
	return r
}

// TestOldPrograms keeps the program of a version that the keeper is to start again, also after the keeper
// was killed, until it has gone, and no others.
func TestOldPrograms(t *testing.T) {
	where := stateFolder(t)
	view := &warnings{}
	programs, err := openStore(where, view)
	if err != nil {
		t.Fatal(err)
	}
	paths := oldPrograms(t, programs, 7)
	waits, gone := paths[0], paths[1]
	shop := record(t, where, "/shop", waits)
	record(t, where, "/bank", gone)

	shopkeeper := func(decide func(*door.Client) error) {
		t.Helper()
		k, err := door.Attach(t.Context(), where, keeper.Claim{Domain: "/shop", Who: "a test"})
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(decide(k), k.Release()); err != nil {
			t.Fatal(err)
		}
	}
	var server keeper.ID
	shopkeeper(func(k *door.Client) error {
		started, err := k.Start(t.Context(), keeper.Spec{Domain: "/shop", Name: "cart-0", Path: waits,
			Policy: &lifecycle.Policy{Restart: lifecycle.Permanent, Backoff: time.Hour, MaxBackoff: time.Hour}})
		if err != nil {
			return err
		}
		server = started.ID
		_, err = k.Wait(t.Context(), server)
		return err
	})

	left := func(want ...string) {
		t.Helper()
		cleanPrograms(programs, view)
		for _, path := range paths {
			if _, err := os.Stat(path); (err == nil) != slices.Contains(want, path) {
				t.Errorf("program %d: %v", slices.Index(paths, path), err)
			}
		}
	}
	damaged := filepath.Join(where.Domain("/shop").Versions, "v2.json")
	other := filepath.Join(where.Domain("/bank").Versions, "v2.json")
	if err := errors.Join(os.WriteFile(damaged, nil, 0o600), os.WriteFile(other, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	left(paths...)
	if len(view.texts) != 1 || !strings.HasPrefix(view.texts[0], "old programs are not removed: "+damaged) {
		t.Errorf("of a damaged record the view says %q", view.texts)
	}
	if err := os.Remove(damaged); err != nil {
		t.Fatal(err)
	}
	left(append(paths[4:], waits)...)

	shopkeeper(func(k *door.Client) error {
		info, err := k.Info(t.Context())
		return errors.Join(err, k.Release(), syscall.Kill(info.Pid, syscall.SIGKILL))
	})
	left(append(paths[4:], waits)...)

	shopkeeper(func(k *door.Client) error {
		server.Run = 0
		_, err := k.Stop(t.Context(), server)
		return err
	})
	left(paths[4:]...)

	if err := shop.Remove("v1"); err != nil {
		t.Error(err)
	}
	if len(view.texts) != 1 {
		t.Errorf("the view says %q", view.texts)
	}
}
