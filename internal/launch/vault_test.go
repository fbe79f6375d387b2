//go:build linux || darwin

package launch

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/keeper/hold"
	"github.com/divisi-go/divisi/internal/memfd"
)

// claim returns the next holder of the domain of a keeper.
func claim(t *testing.T, k *hold.Keeper) *hold.Session {
	t.Helper()
	session, err := k.Attach(t.Context(), keeper.Claim{Domain: "/app", Who: t.Name()})
	if err != nil {
		t.Fatal(err)
	}
	return session
}

func openKeeper(t *testing.T) *hold.Keeper {
	t.Helper()
	k, err := hold.Open(t.TempDir(), t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { k.Close() })
	return k
}

func checkVault(t *testing.T, v *Vault, version, want string) {
	t.Helper()
	got, err := v.Load(t.Context(), version)
	if err != nil || string(got) != want || (got == nil) != (want == "") {
		t.Errorf("of %s there is %q, %v; want %q", version, got, err, want)
	}
}

// TestVault: what a deployer has saved is there for the next one, and one that has been succeeded changes
// nothing any more.
func TestVault(t *testing.T) {
	k := openKeeper(t)
	first := claim(t, k)
	v := NewVault(first, "/app")
	save := func(v *Vault, version, data string) {
		t.Helper()
		secret := []byte(data)
		if data == "" {
			secret = nil
		}
		if err := v.Save(t.Context(), version, secret); err != nil {
			t.Error(err)
		}
	}
	checkVault(t, v, "v1", "")
	save(v, "v1", "one")
	save(v, "v2", "two")
	save(v, "v1", "uno")

	if err := first.Release(); err != nil {
		t.Fatal(err)
	}
	next := NewVault(claim(t, k), "/app")
	checkVault(t, next, "v1", "uno")
	checkVault(t, next, "v2", "two")
	if err := v.Save(t.Context(), "v1", []byte("stale")); err == nil {
		t.Error("one that has been succeeded saves something")
	}
	save(next, "v1", "")
	checkVault(t, next, "v1", "")
	checkVault(t, next, "v2", "two")

	for i := range maxVersions {
		save(next, fmt.Sprint("w", i), "w")
	}
	checkVault(t, next, "v2", "")
	checkVault(t, next, "w0", "w")
	if err := next.Save(t.Context(), "big", bytes.Repeat([]byte("x"), maxVault)); err == nil || !strings.Contains(err.Error(), "and may have") {
		t.Errorf("too much: %v", err)
	}
}

// TestVaultBroken: a slot that somebody else has filled is an error, not an empty one.
func TestVaultBroken(t *testing.T) {
	session := claim(t, openKeeper(t))
	f, err := memfd.New("x", []byte("noise"))
	if err == nil {
		err = session.Put(t.Context(), "/app", vaultSlot, f)
	}
	if err != nil {
		t.Fatal(err)
	}
	v := NewVault(session, "/app")
	if _, err := v.Load(t.Context(), "v1"); err == nil || !strings.Contains(err.Error(), "cannot read the vault of /app") {
		t.Errorf("Load: %v", err)
	}
	if err := v.Save(t.Context(), "v1", nil); err == nil {
		t.Error("Save: no error")
	}
}

// moving is the session of one keeper, and then of the next.
type moving struct {
	mu sync.Mutex // guards Slots
	Slots
}

func (m *moving) Put(ctx context.Context, domain, slot string, f *os.File) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.Slots.Put(ctx, domain, slot, f)
}

func (m *moving) Get(ctx context.Context, domain, slot string) (*os.File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.Slots.Get(ctx, domain, slot)
}

// TestVaultLost: what a killed keeper has lost is put back into the next one.
func TestVaultLost(t *testing.T) {
	m := &moving{Slots: claim(t, openKeeper(t))}
	v := NewVault(m, "/app")
	v.every = time.Millisecond
	if err := v.Save(t.Context(), "v1", []byte("one")); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var serving sync.WaitGroup
	serving.Go(func() { v.Serve(ctx) })
	defer serving.Wait()
	defer cancel()

	m.mu.Lock()
	m.Slots = claim(t, openKeeper(t))
	m.mu.Unlock()
	for deadline := time.Now().Add(time.Minute); ; {
		if got, err := v.Load(t.Context(), "v1"); err == nil && string(got) == "one" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("nothing is put back")
		}
		<-time.After(time.Millisecond)
	}
}
