//go:build unix

package hold_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/keeper/hold"
	"github.com/divisi-go/divisi/internal/keeper/keepertest"
	"github.com/divisi-go/divisi/internal/keeper/keepertest/play"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv("KEEPER_TEST_MORTAL"); dir != "" {
		fmt.Fprintln(os.Stderr, "the keeper ends:", mortal(dir))
		os.Exit(1)
	}
	play.Main(m)
}

func TestSession(t *testing.T) {
	keepertest.Run(t, func(t *testing.T) keepertest.Keeper {
		dir := t.TempDir()
		logs := filepath.Join(dir, "logs")
		sockets := ""
		if runtime.GOOS == "linux" {
			sockets = keepertest.SocketDir(t)
		}
		k, err := hold.Open(filepath.Join(dir, "state"), logs, sockets)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := k.Close(); err != nil {
				t.Error(err)
			}
		})
		return keepertest.Keeper{
			Attach: func(ctx context.Context, c keeper.Claim) (keepertest.Session, error) { return k.Attach(ctx, c) },
			Logs:   logs,
			Close:  k.Close,
		}
	})
}
