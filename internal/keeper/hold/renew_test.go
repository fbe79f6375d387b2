//go:build unix

package hold

import (
	"errors"
	"testing"

	"github.com/divisi-go/divisi/internal/keeper"
)

// TestRenew: a client that has lost its connection, or its keeper, goes on deciding, unless somebody
// else has decided since.
func TestRenew(t *testing.T) {
	dir, logs := t.TempDir(), t.TempDir()
	open := func() *Keeper {
		t.Helper()
		k, err := Open(dir, logs, "")
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	attach := func(k *Keeper, c keeper.Claim, want error) *Session {
		t.Helper()
		s, err := k.Attach(t.Context(), c)
		if !errors.Is(err, want) {
			t.Fatalf("%+v: %v, want %v", c, err, want)
		}
		return s
	}

	k := open()
	first := attach(k, keeper.Claim{Domain: "/shop", Who: "one"}, nil)
	again := attach(k, keeper.Claim{Domain: "/shop", Who: "one", Epoch: first.Holder().Epoch}, nil)
	if got, want := again.Holder().Epoch, first.Holder().Epoch+1; got != want {
		t.Errorf("the renewed claim has the epoch %d, want %d", got, want)
	}
	if err := k.Close(); err != nil {
		t.Fatal(err)
	}

	k = open()
	again = attach(k, keeper.Claim{Domain: "/shop", Who: "one", Epoch: again.Holder().Epoch}, nil)
	other := attach(k, keeper.Claim{Domain: "/shop", Who: "two", Take: true}, nil)
	attach(k, keeper.Claim{Domain: "/shop", Who: "one", Epoch: again.Holder().Epoch}, keeper.ErrFenced)
	if err := other.Release(); err != nil {
		t.Fatal(err)
	}
	attach(k, keeper.Claim{Domain: "/shop", Who: "one", Epoch: again.Holder().Epoch}, keeper.ErrFenced)
	below := attach(k, keeper.Claim{Domain: "/shop/eu", Who: "three"}, nil)
	attach(k, keeper.Claim{Domain: "/shop", Who: "two", Epoch: other.Holder().Epoch}, keeper.ErrFenced)

	if !k.Idle() {
		t.Error("it holds something")
	}
	socket := keeper.Socket{Domain: "/shop/eu", Key: "web", Network: "tcp", Address: "127.0.0.1:0"}
	if _, err := below.Listen(t.Context(), socket); err != nil {
		t.Fatal(err)
	}
	if k.Idle() {
		t.Error("it says that it does not hold the socket")
	}
	if err := k.Close(); err != nil {
		t.Fatal(err)
	}
}
