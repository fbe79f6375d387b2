//go:build linux

package door

import (
	"context"
	"testing"

	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/keeper/keepertest"
)

var _ keepertest.Session = (*Client)(nil)

// TestClient: a keeper in another process does all that one in this process does.
func TestClient(t *testing.T) {
	keepertest.Run(t, func(t *testing.T) keepertest.Keeper {
		h := newHome(t)
		shutdown := func() error {
			if keeperPid(t, h) == 0 {
				return nil
			}
			c, err := Attach(context.Background(), h, keeper.Claim{})
			if err != nil {
				return err
			}
			return c.Shutdown(context.Background())
		}
		t.Cleanup(func() {
			if err := shutdown(); err != nil {
				t.Error(err)
			}
		})
		return keepertest.Keeper{
			Attach: func(ctx context.Context, c keeper.Claim) (keepertest.Session, error) { return Attach(ctx, h, c) },
			Logs:   h.Logs(),
			Close:  shutdown,
		}
	})
}
